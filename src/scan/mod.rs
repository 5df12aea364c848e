//! Reads client programs: text in, [`Program`] out. No files, and nothing is run.
//!
//! [`source`] parses with the grammars of tree-sitter, which go on where a text is wrong; [`names`] notes what every
//! name is given; [`values`] follows expressions to constants. What a call means is known by one file for each
//! library: [`channel`] (pika, py-amqp, php-amqplib, which have the same methods), [`kombu`], [`amqplib`],
//! [`node_amqp`], [`ext_amqp`]. [`events`] finds which events and fields a program reads.

pub mod amqplib;
pub mod channel;
pub mod events;
pub mod expression;
pub mod ext_amqp;
pub mod javascript;
pub mod kombu;
pub mod loaded;
pub mod names;
pub mod node_amqp;
pub mod php;
pub mod python;
pub mod source;
pub mod values;

use std::collections::BTreeSet;

use tree_sitter::{Node, Tree};

use self::expression::{Call, Expression};
use self::names::{At, Grammar, Names};
use self::source::Source;
use self::values::Values;
use crate::core::program::{Action, Gap, Language, Library, Program, Sign, SignKind, Use};

/// Words without which a text has nothing to do with the bus.
const WORDS_OF_THE_BUS: [&str; 16] = [
    "amqp",
    "Amqp",
    "AMQP",
    "pika",
    "kombu",
    "xivo_bus",
    "wazo_bus",
    "exchange_declare",
    "queue_declare",
    "queue_bind",
    "basic_consume",
    "basic_publish",
    "bindQueue",
    "assertQueue",
    "assertExchange",
    "checkExchange",
];

/// More uses are not listed; a program that has them is not one that a person wrote.
const MOST_USES: usize = 5_000;

/// So many places with wrong syntax are told.
const MOST_SYNTAX_GAPS: usize = 3;

/// The language of a file, by its name, or by its first line where the name has no ending.
#[must_use]
pub fn language_of(path: &str, first_line: &str) -> Option<Language> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, ending)| ending);
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("py" | "pyw" | "py2" | "py3") => Some(Language::Python),
        Some("js" | "mjs" | "cjs" | "jsx") => Some(Language::JavaScript),
        Some("ts" | "mts" | "cts" | "tsx") => Some(Language::TypeScript),
        Some("php" | "php3" | "php4" | "php5" | "phtml" | "inc") => Some(Language::Php),
        _ => language_of_script(first_line),
    }
}

fn language_of_script(first_line: &str) -> Option<Language> {
    if first_line.starts_with("<?php") {
        return Some(Language::Php);
    }
    let words = first_line.strip_prefix("#!")?.split_whitespace();
    let program = words.map(|word| word.rsplit('/').next().unwrap_or(word)).find(|word| *word != "env")?;
    match program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "python" => Some(Language::Python),
        "node" | "nodejs" => Some(Language::JavaScript),
        "php" => Some(Language::Php),
        _ => None,
    }
}

/// Reads a program.
#[must_use]
pub fn read(path: &str, language: Language, text: &str) -> Program {
    let mut program = Program {
        path: path.to_owned(),
        language,
        libraries: Vec::new(),
        uses: Vec::new(),
        signs: Vec::new(),
        gaps: Vec::new(),
    };
    if !WORDS_OF_THE_BUS.iter().any(|word| text.contains(word)) {
        return program;
    }
    match source::parse(language, path.ends_with(".tsx"), text) {
        Some(tree) => Scan::new(program, text, &tree).done(),
        None => {
            program.gaps.push(Gap::CutShort);
            program
        }
    }
}

/// A call that was found in a program.
#[derive(Debug, Clone)]
pub struct Found<'t> {
    /// The scope it is in.
    pub scope: usize,
    /// The call.
    pub call: Call<'t>,
}

/// A program that is being read.
pub struct Scan<'t> {
    /// Its values.
    pub values: Values<'t>,
    /// Its calls, from top to bottom.
    calls: Vec<Found<'t>>,
    called: BTreeSet<&'t str>,
    /// What it loads.
    pub imports: Vec<names::Import<'t>>,
    comparisons: Vec<(At<'t>, At<'t>)>,
    members: Vec<At<'t>>,
    program: Program,
}

impl<'t> Scan<'t> {
    fn new(mut program: Program, text: &'t str, tree: &'t Tree) -> Self {
        let source = Source::new(text);
        let grammar = grammar_of(program.language);
        let (mut calls, mut imports, mut comparisons, mut members) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut wrong = Vec::new();
        let mut functions = BTreeSet::new();
        let names = Names::gather(&source, &*grammar, tree.root_node(), |at| {
            let At { node, scope } = at;
            if grammar.is_call(node)
                && let Expression::Call(call) = grammar.expression(&source, node)
            {
                functions.extend(expression::field(node, "function").map(|function| function.id()));
                if call.name == "get" {
                    members.push(at);
                }
                calls.push(Found { scope, call });
            }
            imports.extend(grammar.imports(&source, node));
            for (left, right) in grammar.comparisons(&source, node) {
                comparisons.push((At { node: left, scope }, At { node: right, scope }));
            }
            // A method that is called is no field.
            if !functions.contains(&node.id())
                && matches!(grammar.expression(&source, node), Expression::Member { .. })
            {
                members.push(at);
            }
            if node.kind() == "print_statement" {
                let at = source.position(node.start_byte());
                program.signs.push(Sign { at, kind: SignKind::PrintStatement });
            }
            if (node.is_error() || node.is_missing()) && wrong.len() < MOST_SYNTAX_GAPS {
                wrong.push(Gap::Syntax(source.position(node.start_byte())));
            }
        });
        // A script prints in many places; the first one says it.
        program.signs.truncate(1);
        program.gaps.extend(wrong);
        let values = Values::new(source, grammar, names);
        let called = calls.iter().map(|found: &Found<'t>| found.call.name).collect();
        Self { values, calls, called, imports, comparisons, members, program }
    }

    fn done(mut self) -> Program {
        self.program.libraries = loaded::libraries(&self);
        loaded::note_removed(&mut self);
        let calls = std::mem::take(&mut self.calls);
        for found in &calls {
            if self.program.uses.len() > MOST_USES {
                break;
            }
            channel::read(&mut self, found);
            kombu::read(&mut self, found);
            amqplib::read(&mut self, found);
            node_amqp::read(&mut self, found);
            ext_amqp::read(&mut self, found, &calls);
        }
        if self.program.uses_the_bus() {
            events::read(&mut self);
        }
        if self.values.are_cut_short() || self.program.uses.len() > MOST_USES {
            self.program.gaps.push(Gap::CutShort);
        }
        let mut program = self.program;
        program.uses.sort_by_key(|one| one.at);
        program.uses.dedup();
        program.signs.sort_by_key(|sign| (sign.at, sign.kind));
        program.signs.dedup();
        program
    }

    /// The language of the program.
    #[must_use]
    pub fn language(&self) -> Language {
        self.program.language
    }

    /// Whether a library is loaded.
    #[must_use]
    pub fn has(&self, library: Library) -> bool {
        self.program.libraries.iter().any(|loaded| loaded.library == library)
    }

    /// Whether a function or a method of one of these names is called.
    #[must_use]
    pub fn has_call(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.called.contains(name))
    }

    /// Where a function or a class of one of these names is first called.
    #[must_use]
    pub fn call_of(&self, names: &[&str]) -> Option<usize> {
        let found = self.calls.iter().find(|found| names.contains(&found.call.name));
        found.map(|found| found.call.name_at)
    }

    /// Notes what a call does.
    pub fn note(&mut self, found: &Found<'t>, action: Action) {
        let at = self.values.source.position(found.call.name_at);
        self.program.uses.push(Use { at, action });
    }

    /// Notes what happens at a node.
    pub fn note_at(&mut self, node: Node<'t>, action: Action) {
        let at = self.values.source.position(node.start_byte());
        self.program.uses.push(Use { at, action });
    }

    /// Notes a sign.
    pub fn sign(&mut self, byte: usize, kind: SignKind) {
        let at = self.values.source.position(byte);
        self.program.signs.push(Sign { at, kind });
    }
}

fn grammar_of<'t>(language: Language) -> Box<dyn Grammar<'t>> {
    match language {
        Language::Python => Box::new(python::Python),
        Language::JavaScript | Language::TypeScript => Box::new(javascript::JavaScript),
        Language::Php => Box::new(php::Php),
    }
}

impl<'t> Found<'t> {
    /// The argument of one of these names, or the one in this place.
    #[must_use]
    pub fn argument(&self, names: &[&str], place: usize) -> values::Given<'t> {
        match self.call.argument(names, place) {
            Some(node) => values::Given::As(At { node, scope: self.scope }),
            None if self.call.is_open => values::Given::Unclear,
            None => values::Given::Not,
        }
    }

    /// The argument of one of these names.
    #[must_use]
    pub fn named(&self, names: &[&str]) -> values::Given<'t> {
        self.argument(names, usize::MAX)
    }
}
