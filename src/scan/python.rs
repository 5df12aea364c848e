//! Python, 2 and 3: the grammar takes both.

use tree_sitter::Node;

use super::expression::{Argument, Call, Expression, Key, Piece, field, parts};
use super::names::{Definition, Grammar, Import, ScopeKind};
use super::source::Source;

/// Python.
pub struct Python;

impl<'t> Grammar<'t> for Python {
    fn expression(&self, source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
        match node.kind() {
            "string" => string(source, node),
            "concatenated_string" => Expression::Join(parts(node).into_iter().map(Piece::Value).collect()),
            "true" => Expression::Bool(true),
            "false" => Expression::Bool(false),
            "none" => Expression::Nothing,
            "integer" => source.text_of(node).parse().map_or(Expression::Other, Expression::Number),
            "identifier" => Expression::Name(source.text_of(node)),
            "attribute" => match (field(node, "object"), field(node, "attribute")) {
                (Some(object), Some(name)) => {
                    Expression::Member { object, name: source.text_of(name).to_owned() }
                }
                _ => Expression::Other,
            },
            "subscript" => match (field(node, "value"), field(node, "subscript")) {
                (Some(object), Some(key)) => match self.expression(source, key) {
                    Expression::Text(name) => Expression::Member { object, name },
                    _ => Expression::Index { object },
                },
                _ => Expression::Other,
            },
            "call" => call(source, node),
            "list" | "tuple" | "set" | "expression_list" | "pattern_list" | "tuple_pattern"
            | "list_pattern" => list(node),
            "dictionary" => map(self, source, node),
            "parenthesized_expression" | "await" => inner(node),
            "as_pattern_target" | "typed_parameter" => inner(node),
            "default_parameter" | "typed_default_parameter" => {
                field(node, "name").map_or(Expression::Other, Expression::Inner)
            }
            "lambda" => Expression::Function,
            "binary_operator" => operator(source, node),
            _ => Expression::Other,
        }
    }

    fn is_call(&self, node: Node<'t>) -> bool {
        node.kind() == "call"
    }

    fn opens(&self, source: &Source<'t>, node: Node<'t>) -> Option<(ScopeKind, Option<&'t str>)> {
        match node.kind() {
            "function_definition" => Some((ScopeKind::Function, None)),
            "lambda" => Some((ScopeKind::Closure, None)),
            "for_statement"
            | "list_comprehension"
            | "set_comprehension"
            | "dictionary_comprehension"
            | "generator_expression" => Some((ScopeKind::Loop, None)),
            "class_definition" => Some((ScopeKind::Class, Some(source.text_of(field(node, "name")?)))),
            _ => None,
        }
    }

    fn parameters(&self, node: Node<'t>) -> Vec<Node<'t>> {
        field(node, "parameters").map(parts).unwrap_or_default()
    }

    fn imports(&self, source: &Source<'t>, node: Node<'t>) -> Vec<Import<'t>> {
        let from = match node.kind() {
            "import_statement" => None,
            "import_from_statement" => match field(node, "module_name") {
                Some(module) => Some(source.text_of(module)),
                None => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        let mut cursor = node.walk();
        let names: Vec<Node<'t>> = node.children_by_field_name("name", &mut cursor).collect();
        let import = |node: Node<'t>| {
            let name = field(node, "name").unwrap_or(node);
            let local = field(node, "alias").unwrap_or(name);
            let (module, named) = match from {
                Some(module) => (module, Some(source.text_of(name))),
                None => (source.text_of(name), None),
            };
            Import { module: module.to_owned(), name: named, local: source.text_of(local), node: name }
        };
        names.into_iter().map(import).collect()
    }

    fn comparisons(&self, source: &Source<'t>, node: Node<'t>) -> Vec<(Node<'t>, Node<'t>)> {
        if node.kind() != "comparison_operator" {
            return Vec::new();
        }
        let mut cursor = node.walk();
        let operators = node.children_by_field_name("operators", &mut cursor);
        let is_equality =
            |operator: Node<'t>| matches!(source.text_of(operator), "==" | "!=" | "in" | "not in");
        match parts(node).as_slice() {
            [left, right] if operators.into_iter().all(is_equality) => vec![(*left, *right)],
            _ => Vec::new(),
        }
    }

    fn definitions(&self, source: &Source<'t>, node: Node<'t>) -> Vec<Definition<'t>> {
        let both = |left, right| Some((field(node, left)?, field(node, right)?));
        match node.kind() {
            "assignment" => both("left", "right")
                .map(|(target, value)| Definition::Set(target, value))
                .into_iter()
                .collect(),
            "named_expression" => both("name", "value")
                .map(|(target, value)| Definition::Set(target, value))
                .into_iter()
                .collect(),
            "augmented_assignment" => field(node, "left").map(Definition::Lose).into_iter().collect(),
            "delete_statement" | "nonlocal_statement" => {
                parts(node).into_iter().map(Definition::Spoil).collect()
            }
            "for_statement" => both("left", "right")
                .map(|(target, of)| Definition::ForEach(target, of))
                .into_iter()
                .collect(),
            "list_comprehension"
            | "set_comprehension"
            | "dictionary_comprehension"
            | "generator_expression" => {
                let clauses = parts(node).into_iter().filter(|part| part.kind() == "for_in_clause");
                let both = |clause| Some((field(clause, "left")?, field(clause, "right")?));
                clauses.filter_map(both).map(|(target, of)| Definition::ForEach(target, of)).collect()
            }
            "as_pattern" => {
                // `with connection.Producer() as producer`, `except Error as error`
                let of = parts(node).into_iter().next();
                let target = field(node, "alias");
                of.zip(target).map(|(of, target)| Definition::Set(target, of)).into_iter().collect()
            }
            "function_definition" => field(node, "name")
                .map(|name| Definition::Function(source.text_of(name)))
                .into_iter()
                .collect(),
            "global_statement" => {
                parts(node).into_iter().map(|name| Definition::Global(source.text_of(name))).collect()
            }
            "aliased_import" => field(node, "alias").map(Definition::Lose).into_iter().collect(),
            "import_from_statement" => {
                let mut cursor = node.walk();
                let names = node.children_by_field_name("name", &mut cursor);
                names.flat_map(parts).map(Definition::Lose).collect()
            }
            _ => Vec::new(),
        }
    }

    fn is_self(&self, name: &str) -> bool {
        matches!(name, "self" | "cls")
    }

    fn is_walled(&self, _: &str) -> bool {
        false
    }

    fn loops_over_keys(&self) -> bool {
        true
    }

    fn changing_methods(&self) -> &'static [&'static str] {
        &["append", "extend", "insert", "add", "remove", "pop", "update", "clear", "setdefault", "discard"]
    }
}

fn inner<'t>(node: Node<'t>) -> Expression<'t> {
    parts(node).into_iter().next().map_or(Expression::Other, Expression::Inner)
}

fn list<'t>(node: Node<'t>) -> Expression<'t> {
    let parts = parts(node);
    if parts.iter().any(|part| part.kind().contains("splat")) {
        return Expression::Other;
    }
    Expression::List(parts)
}

fn map<'t>(python: &Python, source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
    let mut entries = Vec::new();
    for pair in parts(node) {
        let (Some(key), Some(value)) = (field(pair, "key"), field(pair, "value")) else {
            return Expression::Other;
        };
        let key = match python.expression(source, key) {
            Expression::Text(text) => Key::Text(text, key),
            _ => Key::Value(key),
        };
        entries.push((key, value));
    }
    Expression::Map(entries)
}

fn call<'t>(source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
    let (Some(function), Some(arguments)) = (field(node, "function"), field(node, "arguments")) else {
        return Expression::Other;
    };
    let (receiver, name) = match function.kind() {
        "identifier" => (None, source.text_of(function)),
        "attribute" => match field(function, "attribute") {
            Some(name) => (field(function, "object"), source.text_of(name)),
            None => return Expression::Other,
        },
        _ => return Expression::Other,
    };
    let name_at = field(function, "attribute").unwrap_or(function).start_byte();
    let mut call = Call { node, receiver, name, name_at, arguments: Vec::new(), is_open: false };
    for argument in parts(arguments) {
        match argument.kind() {
            "keyword_argument" => {
                if let (Some(name), Some(value)) = (field(argument, "name"), field(argument, "value")) {
                    call.arguments.push(Argument {
                        name: Some(source.text_of(name)),
                        at: argument.start_byte(),
                        value,
                    });
                }
            }
            "list_splat" | "dictionary_splat" => call.is_open = true,
            _ => call.arguments.push(Argument { name: None, at: argument.start_byte(), value: argument }),
        }
    }
    if call.name == "format"
        && let Some(template) = call.receiver.filter(|receiver| receiver.kind() == "string")
    {
        return formatted(source, template, &call).map_or(Expression::Other, Expression::Join);
    }
    Expression::Call(call)
}

fn operator<'t>(source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
    let (Some(left), Some(right)) = (field(node, "left"), field(node, "right")) else {
        return Expression::Other;
    };
    match field(node, "operator").map(|operator| operator.kind()) {
        Some("+") => Expression::Join(vec![Piece::Value(left), Piece::Value(right)]),
        Some("|") => Expression::Union(left, right),
        Some("%") if left.kind() == "string" => {
            percent(source, left, right).map_or(Expression::Other, Expression::Join)
        }
        _ => Expression::Other,
    }
}

/// A text, with what is put into it where it is an f-string.
fn string<'t>(source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
    let children = parts(node);
    let start = children.first().filter(|child| child.kind() == "string_start");
    let prefix = start.map_or("", |start| source.text_of(*start)).to_ascii_lowercase();
    let is_raw = prefix.contains('r');
    let is_formatted = prefix.contains('f');
    let mut pieces = Vec::new();
    let mut text = String::new();
    for child in children {
        match child.kind() {
            "string_content" => {
                let content = source.text_of(child);
                let content = if is_formatted {
                    content.replace("{{", "{").replace("}}", "}")
                } else {
                    content.to_owned()
                };
                if is_raw {
                    text.push_str(&content);
                } else {
                    unescape(&content, &mut text);
                }
            }
            "interpolation" => {
                let plain = parts(child);
                match (plain.as_slice(), field(child, "expression")) {
                    ([_], Some(value)) => {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                        pieces.push(Piece::Value(value));
                    }
                    _ => return Expression::Other,
                }
            }
            _ => {}
        }
    }
    if pieces.is_empty() {
        return Expression::Text(text);
    }
    pieces.push(Piece::Text(text));
    Expression::Join(pieces)
}

/// Undoes backslashes. Shared by the languages: what they have in common is all that names of the bus are made of.
pub fn unescape(content: &str, text: &mut String) {
    let mut characters = content.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match characters.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('\n') | None => {}
            Some('x') => push_code(&mut characters, 2, text),
            Some('u') => push_code(&mut characters, 4, text),
            Some(other) => text.push(other),
        }
    }
}

fn push_code(characters: &mut std::str::Chars<'_>, digits: usize, text: &mut String) {
    let code: String = characters.clone().take(digits).collect();
    if let Some(c) = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32) {
        text.push(c);
        characters.nth(digits - 1);
    }
}

/// `'a.%s' % x`
fn percent<'t>(source: &Source<'t>, template: Node<'t>, right: Node<'t>) -> Option<Vec<Piece<'t>>> {
    let Expression::Text(template) = string(source, template) else { return None };
    let values = if right.kind() == "tuple" { parts(right) } else { vec![right] };
    let mut values = values.into_iter();
    let pieces = placed(&template, || values.next())?;
    values.next().is_none().then_some(pieces)
}

/// Puts values where a text has `%s`. Nothing where it has anything else, such as a width.
pub fn placed<'t>(template: &str, mut next: impl FnMut() -> Option<Node<'t>>) -> Option<Vec<Piece<'t>>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        pieces.push(Piece::Text(before.to_owned()));
        rest = if let Some(rest) = after.strip_prefix('%') {
            pieces.push(Piece::Text("%".to_owned()));
            rest
        } else {
            pieces.push(Piece::Value(next()?));
            after.strip_prefix('s')?
        };
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Some(pieces)
}

/// `'a.{}'.format(x)`
fn formatted<'t>(source: &Source<'t>, template: Node<'t>, call: &Call<'t>) -> Option<Vec<Piece<'t>>> {
    let Expression::Text(template) = string(source, template) else { return None };
    if template.contains("{{") || template.contains("}}") || call.is_open {
        return None;
    }
    let mut pieces = Vec::new();
    let mut rest = template.as_str();
    let mut next_place = 0;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        pieces.push(Piece::Text(before.to_owned()));
        let value = if name.is_empty() {
            next_place += 1;
            call.positional().nth(next_place - 1)
        } else if let Ok(place) = name.parse::<usize>() {
            call.positional().nth(place)
        } else {
            call.named(&[name])
        };
        pieces.push(Piece::Value(value?));
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Some(pieces)
}
