//! Every exit code. They are part of the interface: scripts depend on them.

use std::process::ExitCode;

/// What a run of the program came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: findings, differences, events that were not translated, failed checks.
    Findings,
    /// 64: the command line is wrong.
    Usage,
    /// 66: no such input.
    NoInput,
    /// 69: what is needed outside cannot be reached: the output, and for some commands the broker.
    Unreachable,
    /// 70: a bug of ours.
    Bug,
    /// 77: the broker refuses the account.
    AccessRefused,
    /// 78: the configuration, a mapping file or the broker's topology is not as it must be.
    Misconfigured,
}

impl Exit {
    /// Every exit code.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Findings,
        Self::Usage,
        Self::NoInput,
        Self::Unreachable,
        Self::Bug,
        Self::AccessRefused,
        Self::Misconfigured,
    ];

    /// The number that the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::Usage => 64,
            Self::NoInput => 66,
            Self::Unreachable => 69,
            Self::Bug => 70,
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
