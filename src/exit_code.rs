//! Every exit code. They are part of the interface: scripts depend on them.

use std::process::ExitCode;

/// What a run of the program came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: findings, differences, events that were not translated, failed checks.
    Findings,
    /// 2: changes are pending; only where detailed exit codes were asked for.
    ChangesPending,
    /// 3: partly done; what is done and what is not has been told, and repeating is harmless.
    PartlyDone,
    /// 64: the command line is wrong.
    Usage,
    /// 65: the input is there, but it is not what it should be.
    BadInput,
    /// 66: no such input.
    NoInput,
    /// 69: what is needed outside cannot be reached: the output, and for some commands the broker.
    Unreachable,
    /// 70: a bug of ours.
    Bug,
    /// 75: gave up waiting.
    GaveUp,
    /// 77: the broker refuses the account.
    AccessRefused,
    /// 78: the configuration, a mapping file or the broker's topology is not as it must be.
    Misconfigured,
}

impl Exit {
    /// Every exit code.
    pub const ALL: [Self; 12] = [
        Self::Done,
        Self::Findings,
        Self::ChangesPending,
        Self::PartlyDone,
        Self::Usage,
        Self::BadInput,
        Self::NoInput,
        Self::Unreachable,
        Self::Bug,
        Self::GaveUp,
        Self::AccessRefused,
        Self::Misconfigured,
    ];

    /// The number that the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::ChangesPending => 2,
            Self::PartlyDone => 3,
            Self::Usage => 64,
            Self::BadInput => 65,
            Self::NoInput => 66,
            Self::Unreachable => 69,
            Self::Bug => 70,
            Self::GaveUp => 75,
            Self::AccessRefused => 77,
            Self::Misconfigured => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
