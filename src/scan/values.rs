//! What an expression comes to, as far as that can be told without running the program.

use std::cell::Cell;
use std::rc::Rc;

use tree_sitter::Node;

use super::expression::{Call, Expression, Key, Piece};
use super::names::{At, Grammar, Names, Origin, Part};
use super::source::Source;
use crate::core::program::Value;

/// How many steps may be taken in one file, and how many for one value. Ordinary programs take a few for each value.
const STEPS: usize = 2_000_000;
const STEPS_FOR_ONE: usize = 20_000;

/// How far one thing may be followed to another.
const DEPTH: usize = 24;

/// What stands for more than so many values is not followed.
const ALTERNATIVES: usize = 500;

/// A name of AMQP has 255 bytes at most.
const TEXT_BYTES: usize = 1024;

/// A value that is known, and where it is written.
#[derive(Debug, Clone)]
pub struct Known {
    /// The value.
    pub text: String,
    /// The byte at which it is written.
    pub at: usize,
    /// In which round of which loop it has this value.
    rounds: Vec<(usize, usize)>,
}

/// What a text comes to.
#[derive(Debug, Clone)]
pub enum Text {
    /// One of these: more than one where it is in a loop.
    Known(Vec<Known>),
    /// Not given.
    Default(String),
    /// Cannot be told; the expression.
    Computed(String),
}

impl Text {
    /// A text that stands for a constant which is written at this byte.
    #[must_use]
    pub fn constant(text: &str, at: usize) -> Self {
        Self::Known(vec![Known { text: text.to_owned(), at, rounds: Vec::new() }])
    }
}

/// Follows expressions to their values.
pub struct Values<'t> {
    /// The text.
    pub source: Source<'t>,
    /// The language.
    pub grammar: Box<dyn Grammar<'t>>,
    /// The names.
    pub names: Names<'t>,
    steps: Cell<usize>,
    steps_for_one: Cell<usize>,
}

/// An argument or an option.
#[derive(Debug, Clone, Copy)]
pub enum Given<'t> {
    /// Not given.
    Not,
    /// Given.
    As(At<'t>),
    /// It cannot be told whether it is given.
    Unclear,
}

/// Where an expression leads.
pub enum Led<'t> {
    /// To this, which leads no further.
    Expression(At<'t>, Expression<'t>),
    /// To what only a part of the program knows.
    Origin(Origin<'t>),
    /// Nowhere.
    Nowhere,
}

impl<'t> Values<'t> {
    /// Prepares.
    #[must_use]
    pub fn new(source: Source<'t>, grammar: Box<dyn Grammar<'t>>, names: Names<'t>) -> Self {
        Self { source, grammar, names, steps: Cell::new(0), steps_for_one: Cell::new(0) }
    }

    /// Whether something was not followed because there was too much of it.
    #[must_use]
    pub fn are_cut_short(&self) -> bool {
        self.steps.get() > STEPS
    }

    fn step(&self, by: usize) -> Option<()> {
        self.steps.set(self.steps.get().saturating_add(by));
        self.steps_for_one.set(self.steps_for_one.get().saturating_add(by));
        (self.steps.get() <= STEPS && self.steps_for_one.get() <= STEPS_FOR_ONE).then_some(())
    }

    /// One level of the expression.
    #[must_use]
    pub fn expression(&self, at: At<'t>) -> Expression<'t> {
        self.grammar.expression(&self.source, at.node)
    }

    /// Follows names and members to what they stand for.
    #[must_use]
    pub fn follow(&self, at: At<'t>) -> Led<'t> {
        self.steps_for_one.set(0);
        self.led(at, 0).unwrap_or(Led::Nowhere)
    }

    fn led(&self, at: At<'t>, depth: usize) -> Option<Led<'t>> {
        if depth > DEPTH {
            return None;
        }
        self.step(1)?;
        let expression = self.expression(at);
        let given = match &expression {
            Expression::Inner(inner) => return self.led(At { node: *inner, ..at }, depth + 1),
            Expression::Name(name) => self.names.given(&*self.grammar, at.scope, name),
            Expression::Member { object, name } => {
                let object = At { node: *object, ..at };
                return match self.led_to_member(object, name, depth)? {
                    Led::Nowhere => Some(Led::Expression(at, expression)),
                    led => Some(led),
                };
            }
            Expression::List(parts) => {
                self.step(parts.len())?;
                return Some(Led::Expression(at, expression));
            }
            Expression::Map(parts) => {
                self.step(parts.len())?;
                return Some(Led::Expression(at, expression));
            }
            _ => return Some(Led::Expression(at, expression)),
        };
        match given {
            [origin] => self.led_by(origin, depth + 1),
            _ => Some(Led::Expression(at, expression)),
        }
    }

    fn led_by(&self, origin: &Origin<'t>, depth: usize) -> Option<Led<'t>> {
        if depth > DEPTH {
            return None;
        }
        self.step(1)?;
        match origin {
            Origin::Value(at) => self.led(*at, depth + 1),
            Origin::Part(whole, part) => match self.led_by(whole, depth + 1)? {
                Led::Expression(at, Expression::List(parts)) => match part {
                    Part::Place(place) => match parts.get(*place) {
                        Some(node) => self.led(At { node: *node, ..at }, depth + 1),
                        None => Some(Led::Nowhere),
                    },
                    Part::Name(_) => Some(Led::Nowhere),
                },
                Led::Expression(at, Expression::Map(parts)) => match part {
                    Part::Name(name) => self.led_to_key(at, &parts, name, depth),
                    Part::Place(_) => Some(Led::Nowhere),
                },
                _ => Some(Led::Origin(origin.clone())),
            },
            origin => Some(Led::Origin(origin.clone())),
        }
    }

    fn led_to_key(
        &self,
        map: At<'t>,
        parts: &[(Key<'t>, Node<'t>)],
        name: &str,
        depth: usize,
    ) -> Option<Led<'t>> {
        let mut found = None;
        for (key, value) in parts {
            match key {
                Key::Text(key, _) if key == name => {
                    if found.replace(*value).is_some() {
                        return Some(Led::Nowhere);
                    }
                }
                Key::Text(..) => {}
                // A key that cannot be told may be this one.
                Key::Value(_) => return Some(Led::Nowhere),
            }
        }
        match found {
            Some(node) => self.led(At { node, ..map }, depth + 1),
            None => Some(Led::Nowhere),
        }
    }

    fn led_to_member(&self, object: At<'t>, name: &str, depth: usize) -> Option<Led<'t>> {
        let of_object = self.expression(object);
        if let Expression::Name(own) = of_object {
            if self.grammar.is_self(own) {
                if self.names.is_spoilt(&format!(".{name}")) {
                    return Some(Led::Nowhere);
                }
                let class = self.names.class_of(object.scope);
                return match self.names.given_to_class(class, name) {
                    [origin] => self.led_by(origin, depth + 1),
                    _ => Some(Led::Nowhere),
                };
            }
            if self.names.is_spoilt(own) {
                return Some(Led::Nowhere);
            }
        }
        let elsewhere = match of_object {
            Expression::Name(object) => self.names.given_to_member(object, name),
            _ => &[],
        };
        let within = match self.led(object, depth + 1)? {
            Led::Expression(map, Expression::Map(parts)) => self.led_to_key(map, &parts, name, depth)?,
            Led::Origin(Origin::Class(class)) => match self.names.given_to_class(class, name) {
                [origin] => self.led_by(origin, depth + 1)?,
                _ => Led::Nowhere,
            },
            Led::Origin(origin @ Origin::Elements(_)) => {
                Led::Origin(Origin::Part(Rc::new(origin), Part::Name(name.to_owned())))
            }
            _ => Led::Nowhere,
        };
        match (within, elsewhere) {
            (within, []) => Some(within),
            (Led::Nowhere, [origin]) => self.led_by(origin, depth + 1),
            // Given twice, in its place and elsewhere.
            _ => Some(Led::Nowhere),
        }
    }

    /// What is given in a map of options under this name.
    #[must_use]
    pub fn option(&self, options: Given<'t>, name: &str) -> Given<'t> {
        let at = match options {
            Given::As(at) => at,
            other => return other,
        };
        match self.follow(at) {
            Led::Expression(map, Expression::Map(parts)) => {
                if parts.iter().any(|(key, _)| matches!(key, Key::Value(_))) {
                    return Given::Unclear;
                }
                let is_meant =
                    |(key, _): &&(Key<'t>, Node<'t>)| matches!(key, Key::Text(text, _) if text == name);
                // What is given twice is what is given last.
                let found = parts.iter().rev().find(is_meant);
                found.map_or(Given::Not, |(_, node)| Given::As(At { node: *node, ..map }))
            }
            Led::Expression(_, Expression::Nothing) => Given::Not,
            _ => Given::Unclear,
        }
    }

    /// What is given under this name, where a map of options is given, and nothing where it is anything else.
    #[must_use]
    pub fn if_options(&self, options: Given<'t>, name: &str) -> Option<Given<'t>> {
        let Given::As(at) = options else { return None };
        let is_map = matches!(self.follow(at), Led::Expression(_, Expression::Map(_)));
        is_map.then(|| self.option(options, name))
    }

    /// The texts that an expression stands for.
    #[must_use]
    pub fn texts(&self, at: At<'t>) -> Option<Vec<Known>> {
        self.steps_for_one.set(0);
        self.texts_at(at, 0)
    }

    fn texts_at(&self, at: At<'t>, depth: usize) -> Option<Vec<Known>> {
        if depth > DEPTH {
            return None;
        }
        let led = self.led(at, depth)?;
        self.texts_of(led, depth)
    }

    fn texts_of(&self, led: Led<'t>, depth: usize) -> Option<Vec<Known>> {
        if depth > DEPTH {
            return None;
        }
        match led {
            Led::Expression(at, Expression::Text(text)) => {
                Some(vec![Known { text, at: at.node.start_byte(), rounds: Vec::new() }])
            }
            Led::Expression(at, Expression::Join(pieces)) => {
                let start = Known { text: String::new(), at: at.node.start_byte(), rounds: Vec::new() };
                let mut joined = vec![start];
                for piece in pieces {
                    let next = match piece {
                        Piece::Text(text) => {
                            vec![Known { text, at: at.node.start_byte(), rounds: Vec::new() }]
                        }
                        Piece::Value(node) => self.texts_at(At { node, ..at }, depth + 1)?,
                    };
                    joined = self.joined(&joined, &next)?;
                }
                Some(joined)
            }
            Led::Origin(Origin::Elements(of)) => self.elements(of, None, depth),
            Led::Origin(Origin::Keys(of)) => self.keys(of, depth),
            Led::Origin(Origin::Part(whole, part)) => match &*whole {
                Origin::Elements(of) => self.elements(*of, Some(&part), depth),
                _ => None,
            },
            Led::Origin(Origin::Passed(call, 0)) => {
                // `keys.forEach(function (key) { … })`
                let Expression::Call(call_of) = self.expression(call) else { return None };
                let receiver = call_of.receiver.filter(|_| matches!(call_of.name, "forEach" | "map"))?;
                self.elements(At { node: receiver, ..call }, None, depth)
            }
            _ => None,
        }
    }

    fn joined(&self, before: &[Known], next: &[Known]) -> Option<Vec<Known>> {
        let mut joined = Vec::new();
        for first in before {
            for second in next {
                self.step(1)?;
                let Some(rounds) = same_rounds(&first.rounds, &second.rounds) else { continue };
                let text = format!("{}{}", first.text, second.text);
                if text.len() > TEXT_BYTES || joined.len() >= ALTERNATIVES {
                    return None;
                }
                joined.push(Known { text, at: first.at, rounds });
            }
        }
        Some(joined)
    }

    fn elements(&self, of: At<'t>, part: Option<&Part>, depth: usize) -> Option<Vec<Known>> {
        if self.is_changed(of) {
            return None;
        }
        let (list, parts) = match self.led(of, depth + 1)? {
            Led::Expression(list, Expression::List(parts)) => (list, parts),
            Led::Expression(map, Expression::Map(parts)) => {
                return match part {
                    None if self.grammar.loops_over_keys() => Self::keys_of(map, &parts),
                    None => self.values_of(map, &parts, None, depth),
                    Some(_) => None,
                };
            }
            Led::Expression(at, Expression::Call(call)) => {
                return self.elements_of_call(at, &call, part, depth);
            }
            _ => return None,
        };
        let nodes = parts.into_iter();
        let mut found = Vec::new();
        for (round, node) in nodes.enumerate() {
            self.add_round(&mut found, At { node, ..list }, (list.node.id(), round), part, depth)?;
        }
        (!found.is_empty()).then_some(found)
    }

    fn add_round(
        &self,
        found: &mut Vec<Known>,
        element: At<'t>,
        round: (usize, usize),
        part: Option<&Part>,
        depth: usize,
    ) -> Option<()> {
        let led = match part {
            None => self.led(element, depth + 1)?,
            Some(part) => {
                self.led_by(&Origin::Part(Rc::new(Origin::Value(element)), part.clone()), depth + 1)?
            }
        };
        for mut known in self.texts_of(led, depth + 1)? {
            known.rounds.push(round);
            if found.len() >= ALTERNATIVES {
                return None;
            }
            found.push(known);
        }
        Some(())
    }

    fn elements_of_call(
        &self,
        at: At<'t>,
        call: &Call<'t>,
        part: Option<&Part>,
        depth: usize,
    ) -> Option<Vec<Known>> {
        let first = call.positional().next().map(|node| At { node, ..at });
        let map = match (call.name, call.receiver) {
            ("sorted" | "list" | "tuple" | "set" | "frozenset" | "reversed" | "array_values", None) => {
                return self.elements(first?, part, depth + 1);
            }
            ("items" | "iteritems" | "keys" | "iterkeys" | "values" | "itervalues", Some(receiver))
                if first.is_none() =>
            {
                At { node: receiver, ..at }
            }
            // `Object.keys(map)`, `array_keys($map)`
            ("entries" | "keys" | "values", Some(_)) | ("array_keys", None) => first?,
            _ => return None,
        };
        if self.is_changed(map) {
            return None;
        }
        let Led::Expression(map, Expression::Map(parts)) = self.led(map, depth + 1)? else { return None };
        match (call.name, part) {
            ("keys" | "iterkeys" | "array_keys", None) => Self::keys_of(map, &parts),
            ("values" | "itervalues", None) => self.values_of(map, &parts, None, depth),
            ("items" | "iteritems" | "entries", Some(Part::Place(0))) => Self::keys_of(map, &parts),
            ("items" | "iteritems" | "entries", Some(Part::Place(1))) => {
                self.values_of(map, &parts, None, depth)
            }
            _ => None,
        }
    }

    fn keys(&self, of: At<'t>, depth: usize) -> Option<Vec<Known>> {
        if self.is_changed(of) {
            return None;
        }
        match self.led(of, depth + 1)? {
            Led::Expression(map, Expression::Map(parts)) => Self::keys_of(map, &parts),
            _ => None,
        }
    }

    fn keys_of(map: At<'t>, parts: &[(Key<'t>, Node<'t>)]) -> Option<Vec<Known>> {
        let key = |(round, (key, _)): (usize, &(Key<'t>, Node<'t>))| match key {
            Key::Text(text, node) => Some(Known {
                text: text.clone(),
                at: node.start_byte(),
                rounds: vec![(map.node.id(), round)],
            }),
            Key::Value(_) => None,
        };
        if parts.is_empty() || parts.len() > ALTERNATIVES {
            return None;
        }
        parts.iter().enumerate().map(key).collect()
    }

    fn values_of(
        &self,
        map: At<'t>,
        parts: &[(Key<'t>, Node<'t>)],
        part: Option<&Part>,
        depth: usize,
    ) -> Option<Vec<Known>> {
        let mut found = Vec::new();
        for (round, (_, node)) in parts.iter().enumerate() {
            self.add_round(&mut found, At { node: *node, ..map }, (map.node.id(), round), part, depth)?;
        }
        (!found.is_empty()).then_some(found)
    }

    /// Whether what a name stands for is changed after it was made: a list that something is appended to.
    fn is_changed(&self, at: At<'t>) -> bool {
        match self.expression(at) {
            Expression::Name(name) => self.names.is_spoilt(name),
            Expression::Member { object, name } => match self.expression(At { node: object, ..at }) {
                Expression::Name(own) if self.grammar.is_self(own) => {
                    self.names.is_spoilt(&format!(".{name}"))
                }
                Expression::Name(object) => self.names.is_spoilt(object),
                _ => false,
            },
            _ => false,
        }
    }

    /// The text that an argument stands for; what is not given, or given as nothing, is the default.
    #[must_use]
    pub fn text(&self, argument: Given<'t>, default: &str) -> Text {
        let at = match argument {
            Given::Not => return Text::Default(default.to_owned()),
            Given::Unclear => return Text::Computed(String::new()),
            Given::As(at) => at,
        };
        match self.texts(at) {
            Some(known) if !known.is_empty() => Text::Known(known),
            _ => match self.follow(at) {
                Led::Expression(_, Expression::Nothing) => Text::Default(default.to_owned()),
                _ => Text::Computed(self.source.shown(at.node)),
            },
        }
    }

    /// Whether an argument is true.
    #[must_use]
    pub fn truth(&self, argument: Given<'t>, default: bool) -> Value<bool> {
        let at = match argument {
            Given::Not => return Value::Default(default),
            Given::Unclear => return Value::Computed { expression: String::new() },
            Given::As(at) => at,
        };
        match self.follow(at) {
            Led::Expression(found, Expression::Bool(value)) => {
                Value::Constant { value, at: self.source.position(found.node.start_byte()) }
            }
            Led::Expression(found, Expression::Number(number)) => {
                Value::Constant { value: number != 0, at: self.source.position(found.node.start_byte()) }
            }
            Led::Expression(_, Expression::Nothing) => Value::Default(default),
            _ => Value::Computed { expression: self.source.shown(at.node) },
        }
    }

    /// Each way in which these texts can be what they are at the same time.
    #[must_use]
    pub fn ways<const N: usize>(&self, texts: [&Text; N]) -> Vec<[Value<String>; N]> {
        const EMPTY: Value<String> = Value::Computed { expression: String::new() };
        let mut ways = vec![([EMPTY; N], Vec::new())];
        for (place, text) in texts.into_iter().enumerate() {
            let mut next = Vec::new();
            for (way, rounds) in ways {
                match text {
                    Text::Known(known) => {
                        for known in known {
                            let Some(rounds) = same_rounds(&rounds, &known.rounds) else { continue };
                            let mut way = way.clone();
                            let at = self.source.position(known.at);
                            way[place] = Value::Constant { value: known.text.clone(), at };
                            next.push((way, rounds));
                            if next.len() >= ALTERNATIVES {
                                self.steps.set(STEPS + 1);
                                break;
                            }
                        }
                    }
                    Text::Default(value) => {
                        let mut way = way;
                        way[place] = Value::Default(value.clone());
                        next.push((way, rounds));
                    }
                    Text::Computed(expression) => {
                        let mut way = way;
                        way[place] = Value::Computed { expression: expression.clone() };
                        next.push((way, rounds));
                    }
                }
            }
            ways = next;
        }
        ways.into_iter().map(|(way, _)| way).collect()
    }
}

/// The rounds of both, or nothing where they are in different rounds of the same loop.
fn same_rounds(one: &[(usize, usize)], other: &[(usize, usize)]) -> Option<Vec<(usize, usize)>> {
    let mut rounds = one.to_vec();
    for (of, round) in other {
        match rounds.iter().find(|(same, _)| same == of) {
            Some((_, there)) if there != round => return None,
            Some(_) => {}
            None => rounds.push((*of, *round)),
        }
    }
    Some(rounds)
}
