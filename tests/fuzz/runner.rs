//! Runs a target on many inputs, and tells of every one that panics or takes too long.

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};

use super::corpus;
use super::mutator::Mutator;
use super::random::Random;

/// An input that takes longer is a hang.
const LIMIT: Duration = Duration::from_secs(1);
/// After this long without an end, nobody waits for the end.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// As many inputs are kept in memory, the corpus among them.
const MAX_KEPT: usize = 20_000;

/// What is run on each input.
pub struct Target {
    /// The name, also that of its test and of its folder in the corpus.
    pub name: &'static str,
    /// Inputs in a run of `cargo test`.
    pub inputs: u64,
    /// What the input came to, in few words. One that came to something new is built upon.
    pub run: fn(&[u8]) -> String,
}

/// A number from the environment.
pub fn number(variable: &str, otherwise: u64) -> u64 {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
        Err(_) => otherwise,
    }
}

/// Runs a target as the environment says: on one input, or on many.
pub fn run(target: &Target) {
    if let Some(file) = env::var_os("CTI_BRIDGE_FUZZ_INPUT") {
        let input = fs::read(&file).unwrap();
        let began = Instant::now();
        let came_to = (target.run)(&input);
        println!("{}: {} bytes, {:?}: {came_to}", target.name, input.len(), began.elapsed());
        return;
    }
    let seed = number("CTI_BRIDGE_SEED", 1);
    let inputs = number("CTI_BRIDGE_FUZZ_INPUTS", target.inputs);
    Run::new(target, seed).all(inputs);
}

struct Run<'t> {
    target: &'t Target,
    seed: u64,
    random: Random,
    mutator: Mutator,
    inputs: Vec<Vec<u8>>,
    seen: HashSet<u64>,
    /// Where the input stands that is being run: what overflows the stack ends the process without a word.
    current: File,
    current_path: PathBuf,
    /// Where new inputs are kept, if they are.
    keep: Option<PathBuf>,
}

impl<'t> Run<'t> {
    fn new(target: &'t Target, seed: u64) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
        fs::create_dir_all(&directory).unwrap();
        let current_path = directory.join(format!("{}.{seed}.current", target.name));
        let keep =
            env::var_os("CTI_BRIDGE_FUZZ_KEEP").map(|directory| PathBuf::from(directory).join(target.name));
        if let Some(keep) = &keep {
            fs::create_dir_all(keep).unwrap();
        }
        let (inputs, words) = corpus::of(target.name);
        let current = File::options().create(true).truncate(true).write(true).open(&current_path).unwrap();
        Self {
            target,
            seed,
            random: Random::new(seed),
            mutator: Mutator { words },
            inputs,
            seen: HashSet::new(),
            current,
            current_path,
            keep,
        }
    }

    fn all(mut self, inputs: u64) {
        let began = Instant::now();
        let done = Arc::new(AtomicU64::new(0));
        self.watch(&done);
        let known = self.inputs.len();
        let mut length = 0;
        for at in 0..inputs {
            // First the corpus as it is.
            let input = match self.inputs.get(at as usize) {
                Some(input) if (at as usize) < known => input.clone(),
                _ => self.mutator.input(&self.inputs, &mut self.random),
            };
            self.current.write_all_at(&input, 0).unwrap();
            if input.len() < length {
                self.current.set_len(input.len() as u64).unwrap();
            }
            length = input.len();
            self.one(at, input, known);
            done.store(at + 1, Ordering::Relaxed);
        }
        done.store(u64::MAX, Ordering::Relaxed);
        fs::remove_file(&self.current_path).unwrap();
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{}: {inputs} inputs with seed {} in {seconds:.1} s, {:.0} a second, {} outcomes, no panic, no hang",
            self.target.name,
            self.seed,
            inputs as f64 / seconds,
            self.seen.len(),
        );
    }

    fn one(&mut self, at: u64, input: Vec<u8>, known: usize) {
        let began = Instant::now();
        let run = || catch_unwind(AssertUnwindSafe(|| (self.target.run)(&input)));
        let Ok(came_to) = run() else { self.failed(at, &input, "panicked") };
        // On a busy machine everything takes long once; a hang does so every time.
        if began.elapsed() > LIMIT
            && (0..3).all(|_| {
                let began = Instant::now();
                drop(run());
                began.elapsed() > LIMIT
            })
        {
            self.failed(at, &input, "took more than a second");
        }
        let outcome = BuildHasherDefault::<DefaultHasher>::default().hash_one(without_numbers(&came_to));
        if self.seen.insert(outcome) && at >= known as u64 && self.inputs.len() < MAX_KEPT {
            if let Some(keep) = &self.keep {
                fs::write(keep.join(format!("{outcome:016x}")), &input).unwrap();
            }
            self.inputs.push(input);
        }
    }

    fn failed(&self, at: u64, input: &[u8], how: &str) -> ! {
        let path = self.current_path.with_extension("failed");
        fs::write(&path, input).unwrap();
        panic!(
            "{} {how} on input {at} with seed {}; run it again: scripts/fuzz --target {} --input {}",
            self.target.name,
            self.seed,
            self.target.name,
            path.display()
        );
    }

    /// Ends the process when an input has no end: there is no other way to stop it.
    fn watch(&self, done: &Arc<AtomicU64>) {
        let (done, path, name) = (Arc::clone(done), self.current_path.clone(), self.target.name);
        thread::spawn(move || {
            let (mut last, mut since) = (0, Instant::now());
            loop {
                thread::sleep(Duration::from_millis(500));
                match done.load(Ordering::Relaxed) {
                    u64::MAX => return,
                    now if now != last => (last, since) = (now, Instant::now()),
                    now if since.elapsed() > GIVEN_UP => {
                        eprintln!("{name} has no end on input {now}: {}", path.display());
                        std::process::exit(1);
                    }
                    _ => {}
                }
            }
        });
    }
}

/// Messages differ by the places and sizes they name, which makes no new outcome.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('0') => {}
            '0'..='9' => out.push('0'),
            _ => out.push(c),
        }
    }
    out
}
