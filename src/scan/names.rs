//! What every name of a program is given, by scope. A name that is given one thing alone can be followed to it; one
//! that is given two, or something that is not understood, cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tree_sitter::Node;

use super::expression::{Call, Expression, Key};
use super::source::Source;

/// An argument further behind is not looked at for being a callback.
const CALLBACK_AMONG: usize = 8;

/// Patterns are followed inwards this far.
const PATTERN_DEPTH: usize = 4;

/// A node, and the scope in which its names mean something.
#[derive(Debug, Clone, Copy)]
pub struct At<'t> {
    /// The node.
    pub node: Node<'t>,
    /// The scope, an index into those of [`Names`].
    pub scope: usize,
}

/// Where the value of a name comes from.
#[derive(Debug, Clone)]
pub enum Origin<'t> {
    /// It is this.
    Value(At<'t>),
    /// It is one after the other of what is in this.
    Elements(At<'t>),
    /// It is one after the other of this map's keys.
    Keys(At<'t>),
    /// It is what this call passes to its callback, in this place.
    Passed(At<'t>, usize),
    /// It is a part of something.
    Part(Rc<Origin<'t>>, Part),
    /// It is a function.
    Function,
    /// It is a class, with this scope.
    Class(usize),
    /// It cannot be told.
    Unknown,
}

/// Which part of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The one in this place.
    Place(usize),
    /// The one of this name.
    Name(String),
}

/// What a scope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeKind {
    /// The file.
    Module,
    /// A class.
    Class,
    /// A function or a method with a name.
    Function,
    /// A function without a name.
    Closure,
    /// A loop, with the names it gives one value after the other. Other names go through it.
    Loop,
}

/// What a node does to names.
pub enum Definition<'t> {
    /// Gives them a value in this scope.
    Set(Node<'t>, Node<'t>),
    /// Gives names that may be of an outer scope a value.
    Change(Node<'t>, Node<'t>),
    /// Gives one the elements of something, one after the other.
    ForEach(Node<'t>, Node<'t>),
    /// Gives one the keys of something, one after the other.
    ForKeys(Node<'t>, Node<'t>),
    /// Gives them something that cannot be told.
    Lose(Node<'t>),
    /// The same for a name of this scope or an outer one.
    Spoil(Node<'t>),
    /// Gives a name, which is a text, a value in the whole file.
    Constant(String, Node<'t>),
    /// Names a function.
    Function(&'t str),
    /// Says that a name is one of the file.
    Global(&'t str),
}

/// A module that is loaded, or one thing out of it.
#[derive(Debug, Clone)]
pub struct Import<'t> {
    /// The module.
    pub module: String,
    /// What of it; nothing for all of it.
    pub name: Option<&'t str>,
    /// What it is called here.
    pub local: &'t str,
    /// Where it is named.
    pub node: Node<'t>,
}

/// What the languages differ in.
pub trait Grammar<'t> {
    /// One level of an expression, or of a pattern that takes one apart.
    fn expression(&self, source: &Source<'t>, node: Node<'t>) -> Expression<'t>;
    /// Whether the node is a call.
    fn is_call(&self, node: Node<'t>) -> bool;
    /// The scope that the node opens, and the name of a class.
    fn opens(&self, source: &Source<'t>, node: Node<'t>) -> Option<(ScopeKind, Option<&'t str>)>;
    /// The parameters of a function.
    fn parameters(&self, node: Node<'t>) -> Vec<Node<'t>>;
    /// What the node loads.
    fn imports(&self, source: &Source<'t>, node: Node<'t>) -> Vec<Import<'t>>;
    /// What the node compares with what.
    fn comparisons(&self, source: &Source<'t>, node: Node<'t>) -> Vec<(Node<'t>, Node<'t>)>;
    /// What the node does to names.
    fn definitions(&self, source: &Source<'t>, node: Node<'t>) -> Vec<Definition<'t>>;
    /// Whether this is what a method calls its own object or class.
    fn is_self(&self, name: &str) -> bool;
    /// Whether this name is not seen from within functions.
    fn is_walled(&self, name: &str) -> bool;
    /// Whether a loop over a map goes over its keys.
    fn loops_over_keys(&self) -> bool;
    /// Methods that change the list they are called on.
    fn changing_methods(&self) -> &'static [&'static str];
}

#[derive(Debug)]
struct Scope<'t> {
    parent: Option<usize>,
    kind: ScopeKind,
    given: BTreeMap<String, Vec<Origin<'t>>>,
    globals: BTreeSet<&'t str>,
}

/// All names of a program.
#[derive(Debug)]
pub struct Names<'t> {
    scopes: Vec<Scope<'t>>,
    /// Changes of names that may belong to an outer scope, which is known when everything has been seen.
    changes: Vec<(usize, String, Origin<'t>)>,
}

/// Where in the tree a walk is: what has to be closed behind a node.
struct Open {
    scope: bool,
    call: bool,
}

impl<'t> Names<'t> {
    /// Walks the tree, notes all names, and shows each node to `visit`.
    pub fn gather(
        source: &Source<'t>,
        grammar: &dyn Grammar<'t>,
        root: Node<'t>,
        mut visit: impl FnMut(At<'t>),
    ) -> Self {
        let module =
            Scope { parent: None, kind: ScopeKind::Module, given: BTreeMap::new(), globals: BTreeSet::new() };
        let mut names = Self { scopes: vec![module], changes: Vec::new() };
        let mut scopes = vec![0];
        let mut calls: Vec<(At<'t>, Vec<Node<'t>>)> = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        let mut cursor = root.walk();
        // No recursion: a text may nest as deeply as it is long.
        loop {
            let node = cursor.node();
            let scope = scopes.last().copied().unwrap_or(0);
            let at = At { node, scope };
            visit(at);
            let opens = grammar.opens(source, node);
            if !matches!(opens, Some((ScopeKind::Loop, _))) {
                names.define(source, grammar, at);
            }
            if let Some((kind, class)) = opens {
                let inner = names.scopes.len();
                names.scopes.push(Scope {
                    parent: Some(scope),
                    kind,
                    given: BTreeMap::new(),
                    globals: BTreeSet::new(),
                });
                if let Some(class) = class {
                    names.give(scope, class, Origin::Class(inner));
                }
                if kind == ScopeKind::Loop {
                    names.define(source, grammar, At { node, scope: inner });
                } else if kind != ScopeKind::Class {
                    let caller = calls.last().filter(|(_, arguments)| arguments.contains(&node));
                    for (place, parameter) in grammar.parameters(node).into_iter().enumerate() {
                        let origin = caller.map_or(Origin::Unknown, |(call, _)| Origin::Passed(*call, place));
                        names.assign(source, grammar, At { node: parameter, scope: inner }, origin, false);
                    }
                }
                scopes.push(inner);
            }
            let mut is_call = false;
            if grammar.is_call(node)
                && let Expression::Call(call) = grammar.expression(source, node)
            {
                is_call = true;
                names.note_change_by(source, grammar, &call);
                calls.push((at, call.positional().take(CALLBACK_AMONG).collect()));
            }
            open.push(Open { scope: opens.is_some(), call: is_call });
            if cursor.goto_first_child() {
                continue;
            }
            loop {
                if let Some(closed) = open.pop() {
                    if closed.scope {
                        scopes.pop();
                    }
                    if closed.call {
                        calls.pop();
                    }
                }
                if cursor.goto_next_sibling() {
                    break;
                }
                if !cursor.goto_parent() {
                    names.settle_changes();
                    return names;
                }
            }
        }
    }

    fn define(&mut self, source: &Source<'t>, grammar: &dyn Grammar<'t>, at: At<'t>) {
        let scope = at.scope;
        let here = |node| At { node, scope };
        for definition in grammar.definitions(source, at.node) {
            match definition {
                Definition::Set(target, value) => {
                    self.assign(source, grammar, here(target), Origin::Value(here(value)), false);
                }
                Definition::Change(target, value) => {
                    self.assign(source, grammar, here(target), Origin::Value(here(value)), true);
                }
                Definition::ForEach(target, of) => {
                    self.loop_over(source, grammar, here(target), Origin::Elements(here(of)));
                }
                Definition::ForKeys(target, of) => {
                    self.loop_over(source, grammar, here(target), Origin::Keys(here(of)));
                }
                Definition::Lose(target) => {
                    self.assign(source, grammar, here(target), Origin::Unknown, false);
                }
                Definition::Spoil(target) => {
                    self.assign(source, grammar, here(target), Origin::Unknown, true);
                }
                Definition::Constant(name, value) => self.give(0, &name, Origin::Value(here(value))),
                Definition::Function(name) => self.give(scope, name, Origin::Function),
                Definition::Global(name) => {
                    let function = self.without_loops(scope);
                    if let Some(scope) = self.scopes.get_mut(function) {
                        scope.globals.insert(name);
                    }
                }
            }
        }
    }

    /// Gives the names of a loop their values, in its own scope: loops one after the other share names.
    fn loop_over(
        &mut self,
        source: &Source<'t>,
        grammar: &dyn Grammar<'t>,
        target: At<'t>,
        origin: Origin<'t>,
    ) {
        if let Expression::Name(name) = grammar.expression(source, target.node) {
            self.give_raw(target.scope, name.to_owned(), origin);
            return;
        }
        let origin = Rc::new(origin);
        if let Expression::List(parts) = grammar.expression(source, target.node) {
            for (place, part) in parts.into_iter().enumerate() {
                let origin = Origin::Part(Rc::clone(&origin), Part::Place(place));
                match grammar.expression(source, part) {
                    Expression::Name(name) => self.give_raw(target.scope, name.to_owned(), origin),
                    _ => self.assign(source, grammar, At { node: part, ..target }, Origin::Unknown, false),
                }
            }
        } else {
            self.assign(source, grammar, target, (*origin).clone(), false);
        }
    }

    fn assign(
        &mut self,
        source: &Source<'t>,
        grammar: &dyn Grammar<'t>,
        target: At<'t>,
        origin: Origin<'t>,
        is_change: bool,
    ) {
        let scope = target.scope;
        let mut targets = vec![(target.node, origin, 0)];
        while let Some((node, origin, depth)) = targets.pop() {
            match grammar.expression(source, node) {
                Expression::Name(name) if is_change => self.changes.push((scope, name.to_owned(), origin)),
                Expression::Name(name) => self.give(scope, name, origin),
                Expression::Inner(inner) if depth < PATTERN_DEPTH => targets.push((inner, origin, depth + 1)),
                Expression::Member { object, name } => match grammar.expression(source, object) {
                    Expression::Name(own) if grammar.is_self(own) => {
                        let class = self.class_around(scope);
                        self.give_raw(class, format!(".{name}"), origin);
                    }
                    Expression::Name(object) => self.give_raw(0, format!("{object}.{name}"), origin),
                    _ => self.spoil_members(source, grammar, object),
                },
                Expression::Index { object } => self.spoil_members(source, grammar, object),
                Expression::List(parts) if depth < PATTERN_DEPTH => {
                    let origin = Rc::new(origin);
                    for (place, part) in parts.into_iter().enumerate() {
                        targets.push((part, Origin::Part(Rc::clone(&origin), Part::Place(place)), depth + 1));
                    }
                }
                Expression::Map(parts) if depth < PATTERN_DEPTH => {
                    let origin = Rc::new(origin);
                    for (key, part) in parts {
                        let part_of = match key {
                            Key::Text(name, _) => Origin::Part(Rc::clone(&origin), Part::Name(name)),
                            Key::Value(_) => Origin::Unknown,
                        };
                        targets.push((part, part_of, depth + 1));
                    }
                }
                _ => {}
            }
        }
    }

    /// Something within what a name stands for is changed: none of it can be told any more.
    fn spoil_members(&mut self, source: &Source<'t>, grammar: &dyn Grammar<'t>, object: Node<'t>) {
        let mut node = object;
        for _ in 0..PATTERN_DEPTH * 2 {
            match grammar.expression(source, node) {
                Expression::Name(name) => {
                    self.give_raw(0, format!("{name}.*"), Origin::Unknown);
                    return;
                }
                Expression::Member { object, name } => {
                    if let Expression::Name(own) = grammar.expression(source, object)
                        && grammar.is_self(own)
                    {
                        self.give_raw(0, format!(".{name}.*"), Origin::Unknown);
                        return;
                    }
                    node = object;
                }
                Expression::Index { object } | Expression::Inner(object) => node = object,
                _ => return,
            }
        }
    }

    fn note_change_by(&mut self, source: &Source<'t>, grammar: &dyn Grammar<'t>, call: &Call<'t>) {
        if let (Some(receiver), true) = (call.receiver, grammar.changing_methods().contains(&call.name)) {
            self.spoil_members(source, grammar, receiver);
        }
    }

    fn give(&mut self, scope: usize, name: &str, origin: Origin<'t>) {
        let mut scope = scope;
        let here = loop {
            let Some(here) = self.scopes.get(scope) else { return };
            match here.parent {
                Some(parent) if here.kind == ScopeKind::Loop && !here.given.contains_key(name) => {
                    scope = parent;
                }
                _ => break here,
            }
        };
        if here.globals.contains(name) {
            self.give_raw(0, name.to_owned(), origin);
        } else if here.kind == ScopeKind::Class {
            self.give_raw(scope, format!(".{}", name.trim_start_matches('$')), origin);
        } else {
            self.give_raw(scope, name.to_owned(), origin);
        }
    }

    fn give_raw(&mut self, scope: usize, name: String, origin: Origin<'t>) {
        if let Some(scope) = self.scopes.get_mut(scope) {
            scope.given.entry(name).or_default().push(origin);
        }
    }

    fn settle_changes(&mut self) {
        for (scope, name, origin) in std::mem::take(&mut self.changes) {
            let mut owner = Some(scope);
            while let Some(here) = owner.and_then(|owner| self.scopes.get(owner)) {
                if here.given.contains_key(&name) {
                    break;
                }
                owner = here.parent;
            }
            self.give_raw(owner.unwrap_or(0), name, origin);
        }
    }

    fn without_loops(&self, scope: usize) -> usize {
        let mut scope = scope;
        while let Some(here) = self.scopes.get(scope) {
            match here.parent {
                Some(parent) if here.kind == ScopeKind::Loop => scope = parent,
                _ => break,
            }
        }
        scope
    }

    fn class_around(&self, scope: usize) -> usize {
        let mut scope = scope;
        while let Some(here) = self.scopes.get(scope) {
            match here.parent {
                Some(parent) if here.kind != ScopeKind::Class => scope = parent,
                _ => break,
            }
        }
        scope
    }

    /// All that a name is given, seen from a scope.
    #[must_use]
    pub fn given(&self, grammar: &dyn Grammar<'t>, scope: usize, name: &str) -> &[Origin<'t>] {
        let mut next = Some(scope);
        while let Some(here) = next.and_then(|scope| self.scopes.get(scope)) {
            let is_module = here.parent.is_none();
            let found = match here.kind {
                // What stands in a class is seen from its own body, and not from its methods.
                ScopeKind::Class if next == Some(scope) => here.given.get(&format!(".{name}")),
                ScopeKind::Class => None,
                _ => here.given.get(name),
            };
            match found {
                Some(given) => return given,
                None if is_module => return &[],
                None if here.globals.contains(name) => next = Some(0),
                None if here.kind == ScopeKind::Function && grammar.is_walled(name) => return &[],
                None => next = here.parent,
            }
        }
        &[]
    }

    /// All that a member of a class is given, in it or anywhere by its methods.
    #[must_use]
    pub fn given_to_class(&self, class: usize, name: &str) -> &[Origin<'t>] {
        let class = self.scopes.get(class);
        class.and_then(|class| class.given.get(&format!(".{name}"))).map_or(&[], Vec::as_slice)
    }

    /// The class around a scope, or the file where there is none: functions had members before there were classes.
    #[must_use]
    pub fn class_of(&self, scope: usize) -> usize {
        self.class_around(scope)
    }

    /// All that a member of what a name stands for is given, elsewhere than where the name is.
    #[must_use]
    pub fn given_to_member(&self, object: &str, name: &str) -> &[Origin<'t>] {
        let module = self.scopes.first();
        module.and_then(|module| module.given.get(&format!("{object}.{name}"))).map_or(&[], Vec::as_slice)
    }

    /// Whether something within what this name stands for is changed, so that nothing of it can be told.
    #[must_use]
    pub fn is_spoilt(&self, name: &str) -> bool {
        self.scopes.first().is_some_and(|module| module.given.contains_key(&format!("{name}.*")))
    }

    /// The function around a scope.
    #[must_use]
    pub fn function_around(&self, scope: usize) -> usize {
        let mut scope = scope;
        while let Some(here) = self.scopes.get(scope) {
            match here.parent {
                Some(parent) if matches!(here.kind, ScopeKind::Closure | ScopeKind::Loop) => scope = parent,
                _ => break,
            }
        }
        scope
    }
}
