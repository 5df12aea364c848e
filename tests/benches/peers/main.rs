//! What `scripts/bench` measures with: the load, its receiver, and bare forwarders to compare the bridge with.
//!
//! In Rust, because a Python program could not keep a broker busy.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod event;
mod forwarder;
mod load;
mod sink;
mod wire;

use std::num::NonZeroU64;
use std::thread;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lapin::{Connection, ConnectionProperties};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Removes what an earlier candidate left and declares what all of them need
    Prepare(Prepare),
    /// Puts numbered events into the intake queue, and ends when all are confirmed
    Fill(Load),
    /// Receives numbered events and says what became of them
    Sink(Load),
    /// Both at once: events at a rate, or as fast as they are confirmed, and their receiver
    Live(Live),
    /// A bare forwarder
    Forward(Forward),
    /// Writes the bodies of numbered events to standard output, one a line
    Lines(Load),
}

#[derive(Args)]
struct Prepare {
    #[arg(long)]
    direction: Direction,
    /// Declare an intake queue of this name too
    #[arg(long)]
    intake: Option<String>,
    /// Of the intake queue
    #[arg(long, default_value = "classic")]
    queue_type: String,
    /// Bind the receiver's queue by the keys that the events are sent with
    #[arg(long)]
    as_sent: bool,
    /// The same, and bind the source exchange to the target exchange
    #[arg(long)]
    bind: bool,
}

#[derive(Args, Clone, Copy)]
struct Load {
    #[arg(long)]
    direction: Direction,
    #[arg(long)]
    count: u64,
    /// Whether bodies have to arrive in the form of the other era
    #[arg(long)]
    untranslated: bool,
}

#[derive(Args)]
struct Live {
    #[command(flatten)]
    load: Load,
    /// Events per second; without, as fast as they are confirmed
    #[arg(long)]
    rate: Option<NonZeroU64>,
}

#[derive(Args)]
struct Forward {
    #[arg(long)]
    direction: Direction,
    #[arg(long)]
    intake: String,
    #[arg(long)]
    prefetch: u16,
    #[arg(long)]
    way: forwarder::Way,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Direction {
    ToLegacy,
    ToModern,
}

impl Direction {
    /// Where events come in, and where they go.
    const fn exchanges(self) -> [&'static str; 2] {
        match self {
            Self::ToLegacy => ["xivo", "xivo-cti"],
            Self::ToModern => ["xivo-cti", "xivo"],
        }
    }
}

fn url() -> String {
    std::env::var("CTI_BRIDGE_AMQP_URL").expect("run it as scripts/with-broker scripts/bench")
}

async fn connect() -> Connection {
    Connection::connect(&url(), ConnectionProperties::default()).await.expect("no broker")
}

fn main() {
    // `cargo bench` runs every program of its kind; this one has nothing to do there.
    if std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let cli = Cli::parse();
    // Without this the kernel wakes a sleeper up to 50 µs late, to save wake-ups. Threads inherit it.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    match cli.command {
        Command::Prepare(prepare) => wait_for(load::prepare(&prepare)),
        Command::Fill(load) => drop(load::publish(load, None)),
        Command::Sink(load) => sink::receive(load, || None),
        Command::Live(Live { load, rate }) => {
            sink::receive(load, || Some(thread::spawn(move || load::publish(load, rate))));
        }
        Command::Forward(forward) => wait_for(forwarder::forward(&forward)),
        Command::Lines(load) => load::write(load),
    }
}

fn wait_for(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work);
}
