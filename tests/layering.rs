//! A module uses what is below it, never what is beside or above. Here is the table, and the reader of
//! sources that holds every file to it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// What a part of the program may use.
struct Layer {
    /// Its files: this one, or those in this directory.
    part: &'static str,
    /// Modules of this crate, by the beginnings of their paths.
    modules: &'static [&'static str],
    /// Crates besides `std`.
    crates: &'static [&'static str],
    /// Modules of `std` that it may not use.
    not_std: &'static [&'static str],
    /// Whether it may write to the terminal.
    may_print: bool,
}

const NO_IO: &[&str] = &["env", "fs", "io", "net", "os", "process", "thread", "time"];

const LAYERS: [Layer; 13] = [
    // The one file that knows the library which is no longer maintained.
    Layer {
        part: "core/yaml",
        modules: &["core"],
        crates: &["serde", "serde_yaml"],
        not_std: NO_IO,
        may_print: false,
    },
    // What is not text stands in recordings as base64.
    Layer {
        part: "core/recording",
        modules: &["core"],
        crates: &["base64", "serde", "serde_json", "thiserror"],
        not_std: NO_IO,
        may_print: false,
    },
    Layer {
        part: "core",
        modules: &["core"],
        crates: &["serde", "serde_json", "strsim", "thiserror"],
        not_std: NO_IO,
        may_print: false,
    },
    Layer {
        part: "scan",
        modules: &["core", "scan"],
        crates: &[
            "tree_sitter",
            "tree_sitter_javascript",
            "tree_sitter_php",
            "tree_sitter_python",
            "tree_sitter_typescript",
        ],
        not_std: NO_IO,
        may_print: false,
    },
    Layer {
        part: "amqp",
        modules: &["core", "amqp"],
        crates: &[
            "async_rs",
            "futures_util",
            "jiff",
            "lapin",
            "rustix",
            "rustls",
            "secrecy",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
        ],
        not_std: &["env", "fs", "process"],
        may_print: false,
    },
    Layer {
        part: "management",
        modules: &["core", "management"],
        crates: &[
            "base64",
            "percent_encoding",
            "rustls",
            "rustls_native_certs",
            "secrecy",
            "serde_json",
            "thiserror",
            "ureq",
        ],
        not_std: &["env", "fs", "process", "thread"],
        may_print: false,
    },
    Layer { part: "exit_code", modules: &[], crates: &[], not_std: &["env", "fs", "net"], may_print: false },
    Layer {
        part: "render/junit",
        modules: &[],
        crates: &["quick_junit"],
        // `Duration` is a plain value.
        not_std: &["env", "fs", "io", "net", "os", "process", "thread"],
        may_print: false,
    },
    Layer {
        part: "render",
        modules: &["core", "render"],
        crates: &["serde_json"],
        not_std: NO_IO,
        may_print: false,
    },
    Layer {
        part: "config",
        // Plain values, and what reads them.
        modules: &[
            "core",
            "amqp::AddressError",
            "amqp::BrokerAddress",
            "amqp::Certificates",
            "amqp::ClientCertificate",
            "amqp::UnusableFile",
            "amqp::node",
            "config",
        ],
        crates: &["secrecy", "thiserror"],
        not_std: &["env", "net", "process", "thread"],
        may_print: false,
    },
    Layer {
        part: "cli",
        modules: &["core", "config", "cli"],
        crates: &["clap", "jiff"],
        not_std: &["env", "fs", "io", "net", "process", "thread"],
        may_print: false,
    },
    Layer {
        part: "commands",
        modules: &["core", "amqp", "management", "config", "cli", "commands", "exit_code", "render", "scan"],
        crates: &[
            "futures_util",
            "jiff",
            "memchr",
            "regex",
            "sd_notify",
            "secrecy",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
            "tracing_subscriber",
        ],
        not_std: &["net"],
        may_print: true,
    },
    Layer {
        part: "main",
        modules: &["cli", "commands", "exit_code", "render"],
        crates: &["clap", "tikv_jemallocator"],
        not_std: &["fs", "net"],
        may_print: true,
    },
];

const NAMES_THAT_SAY_NOTHING: [&str; 8] =
    ["common", "helper", "helpers", "misc", "shared", "tools", "util", "utils"];

/// What is wrong with a source file, by its path below `src` without the ending.
fn violations(module: &str, source: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let own_path: Vec<&str> = module.split('/').filter(|part| *part != "mod").collect();
    for part in &own_path {
        if NAMES_THAT_SAY_NOTHING.contains(part) {
            violations.push(format!("{module}: `{part}` says nothing about what is in it"));
        }
    }
    if matches!(module, "lib") {
        return violations;
    }
    let part_of = |layer: &&Layer| module == layer.part || module.starts_with(&format!("{}/", layer.part));
    let Some(layer) = LAYERS.iter().find(part_of) else {
        violations.push(format!("{module}: in no layer; add it to the table"));
        return violations;
    };
    let code = code_of(source);
    let crates = crates();
    for path in paths_of(&code) {
        let path = resolved(&own_path, &path);
        let mut segments = path.split("::");
        let root = segments.next().unwrap_or_default();
        let rest = path.strip_prefix(root).unwrap_or_default().trim_start_matches("::");
        let is_below = |start: &&str| rest == *start || rest.starts_with(&format!("{start}::"));
        let forbidden = match root {
            "crate" | "cti_bridge" => !layer.modules.iter().any(is_below),
            "std" => layer.not_std.iter().any(is_below),
            root => crates.iter().any(|name| name == root) && !layer.crates.contains(&root),
        };
        if forbidden {
            violations.push(format!("{module}: `{path}`"));
        }
    }
    for pair in tokens(&code).windows(2) {
        let prints = ["print", "println", "eprint", "eprintln", "dbg"].contains(&pair[0].as_str());
        if !layer.may_print && prints && pair[1] == "!" {
            violations.push(format!("{module}: `{}!`", pair[0]));
        }
    }
    violations
}

/// The source without tests, comments and texts. Tests come last in a file, or have a file of their own.
fn code_of(source: &str) -> String {
    let mut lines = source.lines().peekable();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            match lines.next() {
                Some(item) if item.trim_end().ends_with(';') => continue,
                _ => break,
            }
        }
        kept.push_str(line);
        kept.push('\n');
    }
    without_comments_and_texts(&kept)
}

fn without_comments_and_texts(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("r\"")
            || rest.starts_with("r#") && rest.trim_start_matches(['r', '#']).starts_with('"')
        {
            let hashes = "#".repeat(rest[1..].chars().take_while(|c| *c == '#').count());
            let start = hashes.len() + 2;
            rest[start..]
                .find(&format!("\"{hashes}"))
                .map_or(rest.len(), |end| start + end + 1 + hashes.len())
        } else if c == '"' {
            end_of_text(rest)
        } else if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') && c == '\'' {
            // A character; anything else after a quote is a lifetime.
            let skip = if rest.starts_with("'\\") { 3 } else { 2 };
            let start = rest.char_indices().nth(skip).map_or(rest.len(), |(at, _)| at);
            rest[start..].find('\'').map_or(rest.len(), |end| start + end + 1)
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// All paths of a source: those of `use`, one for each leaf of the tree, and those in between.
fn paths_of(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut tokens = tokens(code).into_iter().peekable();
    let mut before = String::new();
    while let Some(token) = tokens.next() {
        if token == "use" {
            tree(&mut tokens, "", &mut paths);
        } else if is_name(&token) && before != "::" {
            let mut path = token.clone();
            while tokens.peek().is_some_and(|next| next == "::") {
                tokens.next();
                match tokens.next_if(|next| is_name(next)) {
                    Some(name) => path = format!("{path}::{name}"),
                    // A generic argument: `Vec::<…>`.
                    None => break,
                }
            }
            if path.contains("::") {
                paths.push(path);
            }
        }
        before = token;
    }
    paths
}

/// One tree of a `use`, up to the `;`, `,` or `}` behind it.
fn tree(tokens: &mut std::iter::Peekable<std::vec::IntoIter<String>>, stem: &str, paths: &mut Vec<String>) {
    let mut path = stem.to_owned();
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "::" => {}
            "{" => {
                while tokens.peek().is_some_and(|token| token != "}") {
                    tree(tokens, &path, paths);
                    tokens.next_if(|token| token == ",");
                }
                tokens.next();
                return;
            }
            "as" => {
                tokens.next();
            }
            name => path = if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") },
        }
        if tokens.peek().is_none_or(|next| matches!(next.as_str(), ";" | "," | "}")) {
            paths.push(path);
            return;
        }
    }
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("::") {
            2
        } else if is_name_char(c) {
            rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            tokens.push(rest[..length].to_owned());
        }
        rest = &rest[length..];
    }
    tokens
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The path from the root of the crate, where it begins with `super` or `self`.
fn resolved(own_path: &[&str], path: &str) -> String {
    let mut base: Vec<&str> = own_path.to_vec();
    let mut rest: Vec<&str> = path.split("::").collect();
    let mut is_relative = false;
    while let Some(first @ ("super" | "self")) = rest.first().copied() {
        is_relative = true;
        if first == "super" {
            base.pop();
        }
        rest.remove(0);
    }
    if !is_relative {
        return path.to_owned();
    }
    ["crate"].into_iter().chain(base).chain(rest).collect::<Vec<_>>().join("::")
}

/// The names of all dependencies, as they are written in Rust.
fn crates() -> Vec<String> {
    let manifest = include_str!("../Cargo.toml");
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let names = dependencies.lines().filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name.trim().replace('-', "_")).filter(|name| !name.starts_with('#')).collect()
}

fn sources(directory: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

fn is_test(module: &str) -> bool {
    module.split('/').any(|part| part == "tests" || part.ends_with("_tests"))
}

#[test]
fn no_module_uses_what_is_beside_or_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 30, "only {} sources found", files.len());
    let mut found = Vec::new();
    for file in files {
        let module = file.strip_prefix(&root).unwrap().with_extension("").display().to_string();
        if !is_test(&module) {
            found.extend(violations(&module, &fs::read_to_string(&file).unwrap()));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_planted_violation_is_found() {
    let planted = [
        ("core/rule", "use std::fs;"),
        ("core/rule", "use std::{fmt, time::Duration};"),
        ("core/rule", "fn f() { std::env::var(\"X\"); }"),
        ("core/rule", "use std::io::{self, Write};"),
        ("core/rule", "use tokio::sync::Mutex;"),
        ("core/rule", "fn f() -> tracing::Span { tracing::info_span!(\"x\") }"),
        ("core/rule", "use serde_yaml::Value;"),
        ("core/yaml", "use serde_json::Value;"),
        ("core/rule", "use crate::amqp::Bridge;"),
        ("core/rule", "use super::super::commands::Failure;"),
        ("core/translate/deeper", "use super::super::super::config;"),
        ("core/rule", "use super::{template::Template, super::render};"),
        ("core/rule", "fn f() { println!(\"x\"); }"),
        ("core/rule", "pub use crate::{core::rule, cli::Form};"),
        ("amqp/session", "use crate::config::Config;"),
        ("amqp/session", "use super::super::commands;"),
        ("amqp/session", "fn f() { crate::cli::Form::Legacy; }"),
        ("amqp/session", "use clap::Parser;"),
        ("config", "use crate::amqp::{BrokerAddress, Bridge};"),
        ("config", "use crate::cli::Run;"),
        ("cli", "use crate::commands::run;"),
        ("render", "use crate::commands;"),
        ("exit_code", "use crate::core;"),
        ("commands/run", "use lapin::Channel;"),
        ("commands/utils", ""),
        ("core/helpers/mod", ""),
        ("stray", "use std::fmt;"),
    ];
    for (module, source) in planted {
        assert!(!violations(module, source).is_empty(), "{module}: {source}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    let fine = [
        (
            "core/rule",
            "use std::fmt;\nuse super::template::{self, Template as T};\nuse serde_json::Value as Json;",
        ),
        ("core/rule", "// use std::fs;\n/* std::env::var */ const X: &str = \"use tokio::sync;\";"),
        (
            "core/rule",
            "const A: &str = r#\"std::fs \"quoted\" \"#; const B: char = '\"'; fn f<'a>(x: &'a str) {}",
        ),
        ("core/rule", "const C: char = '\\''; fn f() { \"std::net\\\" std::fs\"; }"),
        ("core/rule", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}"),
        ("core/rule", "fn f() { let v = Vec::<u8>::new(); fmt::Write::write_str; Self::new(); }"),
        ("core/yaml", "use serde_yaml::Deserializer;"),
        (
            "amqp/mod",
            "#[cfg(test)]\nmod broker_tests;\nuse crate::core::message::Outcome;\nuse lapin::Channel;",
        ),
        ("config", "use crate::amqp::{AddressError, BrokerAddress};\nuse std::{fs, io};"),
        ("commands/run", "use super::{Failure, mappings};\nuse crate::amqp::{self, Bridge};"),
        ("main", "use cti_bridge::commands::{Failure, rules};"),
    ];
    for (module, source) in fine {
        assert_eq!(violations(module, source), Vec::<String>::new(), "{module}: {source}");
    }
    // What follows a test module of one line is looked at.
    let source = "#[cfg(test)]\nmod broker_tests;\nuse std::env;";
    assert_eq!(violations("amqp/mod", source), ["amqp/mod: `std::env`"]);
}
