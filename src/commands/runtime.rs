//! What a command that speaks AMQP runs on: one thread, with a stack that any message fits on.

use std::os::unix::process::CommandExt;
use std::thread;

use super::Failure;
use crate::amqp::ConnectError;
use crate::exit_code::Exit;

/// Address space only: what a stack does not use costs no memory. Not optimised, a level takes far more.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 2048 } else { 256 } * 1024 * 1024;

/// How the allocator is to work: one arena for the few threads there are, from which what nobody uses goes back to the
/// system after a second. 4 MiB less than by its own defaults, for the same CPU seconds (measured).
const ALLOCATOR: &str = "narenas:1,lg_tcache_max:12,dirty_decay_ms:1000,muzzy_decay_ms:0";

/// Starts this program anew with stacks that bear the headers of any message, and with little memory besides.
///
/// A frame of headers has 128 KiB, which is room for 26,000 arrays one inside the other. They are read, copied and
/// dropped by recursion in the client library, whose own thread has the standard library's 2 MiB and would
/// overflow: one message would end the process, and do so again after every start.
///
/// # Errors
/// When the program cannot be started anew.
pub fn with_fitting_memory() -> Result<(), Failure> {
    const STACKS: &str = "RUST_MIN_STACK";
    const HEAP: &str = "_RJEM_MALLOC_CONF";
    let enough = |value: std::ffi::OsString| {
        value.to_str()?.parse().ok().filter(|bytes: &usize| *bytes >= STACK_BYTES)
    };
    let has_heap = std::env::var_os(HEAP).is_some();
    if std::env::var_os(STACKS).and_then(enough).is_some() && has_heap {
        return Ok(());
    }
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(Exit::Bug, format!("cannot find this program: {error}")))?;
    let mut command = std::process::Command::new(program);
    command.args(std::env::args_os().skip(1)).env(STACKS, STACK_BYTES.to_string());
    if !has_heap {
        command.env(HEAP, ALLOCATOR);
    }
    let error = command.exec();
    Err(Failure::new(Exit::Bug, format!("cannot start anew: {error}")))
}

/// Runs this to its end, on a thread of its own: the main thread's stack is as small as the machine's administrator
/// likes.
///
/// # Errors
/// Those of `work`, and when no thread can be had.
pub fn block_on<T: Send, F: Future<Output = Result<T, Failure>>>(
    work: impl FnOnce() -> F + Send,
) -> Result<T, Failure> {
    let cannot_start = |error| Failure::new(Exit::Bug, format!("cannot start: {error}"));
    let run = || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot_start)?;
        runtime.block_on(work())
    };
    thread::scope(|scope| {
        let running = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run);
        running.map_err(cannot_start)?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What to tell when there is no connection.
#[must_use]
pub fn not_connected(error: &ConnectError) -> Failure {
    if error.is_refusal() {
        Failure::new(Exit::AccessRefused, error).help(
            "check user, password and virtual host; `guest` is let in from the broker's own machine only",
        )
    } else if error.has_advice() {
        Failure::new(Exit::Unreachable, error)
    } else {
        Failure::new(Exit::Unreachable, error)
            .help("is RabbitMQ running there? name it with `--amqp-url` or `bus:` in the configuration")
    }
}
