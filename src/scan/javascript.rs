//! JavaScript, and TypeScript, whose grammar has the same nodes and some more.

use tree_sitter::Node;

use super::expression::{Argument, Call, Expression, Key, Piece, field, parts};
use super::names::{Definition, Grammar, Import, ScopeKind};
use super::python::unescape;
use super::source::Source;

/// JavaScript and TypeScript.
pub struct JavaScript;

impl<'t> Grammar<'t> for JavaScript {
    fn expression(&self, source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
        match node.kind() {
            "string" | "template_string" => string(source, node),
            "true" => Expression::Bool(true),
            "false" => Expression::Bool(false),
            "null" | "undefined" => Expression::Nothing,
            "number" => source.text_of(node).parse().map_or(Expression::Other, Expression::Number),
            "identifier"
            | "this"
            | "shorthand_property_identifier"
            | "shorthand_property_identifier_pattern"
            | "property_identifier" => Expression::Name(source.text_of(node)),
            "member_expression" => match (field(node, "object"), field(node, "property")) {
                (Some(object), Some(name)) => {
                    Expression::Member { object, name: source.text_of(name).to_owned() }
                }
                _ => Expression::Other,
            },
            "subscript_expression" => match (field(node, "object"), field(node, "index")) {
                (Some(object), Some(key)) => match self.expression(source, key) {
                    Expression::Text(name) => Expression::Member { object, name },
                    _ => Expression::Index { object },
                },
                _ => Expression::Other,
            },
            "call_expression" => call(source, node, field(node, "function")),
            "new_expression" => call(source, node, field(node, "constructor")),
            "array" | "array_pattern" => list(node),
            "object" | "object_pattern" => map(self, source, node),
            "parenthesized_expression"
            | "await_expression"
            | "as_expression"
            | "satisfies_expression"
            | "non_null_expression" => {
                parts(node).first().map_or(Expression::Other, |n| Expression::Inner(*n))
            }
            "required_parameter" | "optional_parameter" => {
                field(node, "pattern").map_or(Expression::Other, Expression::Inner)
            }
            "assignment_pattern" => field(node, "left").map_or(Expression::Other, Expression::Inner),
            "arrow_function" | "function_expression" | "function" | "generator_function" => {
                Expression::Function
            }
            "binary_expression" => {
                match (field(node, "left"), field(node, "operator").map(|o| o.kind()), field(node, "right")) {
                    (Some(left), Some("+"), Some(right)) => {
                        Expression::Join(vec![Piece::Value(left), Piece::Value(right)])
                    }
                    _ => Expression::Other,
                }
            }
            _ => Expression::Other,
        }
    }

    fn is_call(&self, node: Node<'t>) -> bool {
        matches!(node.kind(), "call_expression" | "new_expression")
    }

    fn opens(&self, source: &Source<'t>, node: Node<'t>) -> Option<(ScopeKind, Option<&'t str>)> {
        match node.kind() {
            "function_declaration" | "generator_function_declaration" | "method_definition" => {
                Some((ScopeKind::Function, None))
            }
            "arrow_function" | "function_expression" | "generator_function" => {
                Some((ScopeKind::Closure, None))
            }
            "class_declaration" | "class" => {
                Some((ScopeKind::Class, field(node, "name").map(|name| source.text_of(name))))
            }
            "for_in_statement" => Some((ScopeKind::Loop, None)),
            _ => None,
        }
    }

    fn parameters(&self, node: Node<'t>) -> Vec<Node<'t>> {
        match (field(node, "parameters"), field(node, "parameter")) {
            (Some(parameters), _) => parts(parameters),
            (None, Some(parameter)) => vec![parameter],
            (None, None) => Vec::new(),
        }
    }

    fn imports(&self, source: &Source<'t>, node: Node<'t>) -> Vec<Import<'t>> {
        match node.kind() {
            "import_statement" => imported(self, source, node).unwrap_or_default(),
            "call_expression" => required(self, source, node).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn comparisons(&self, source: &Source<'t>, node: Node<'t>) -> Vec<(Node<'t>, Node<'t>)> {
        match node.kind() {
            "binary_expression" => {
                let operator = field(node, "operator").map(|operator| source.text_of(operator));
                let is_equality = matches!(operator, Some("==" | "===" | "!=" | "!=="));
                let sides = field(node, "left").zip(field(node, "right"));
                sides.filter(|_| is_equality).into_iter().collect()
            }
            "switch_statement" => switched(node, "switch_case"),
            _ => Vec::new(),
        }
    }

    fn definitions(&self, source: &Source<'t>, node: Node<'t>) -> Vec<Definition<'t>> {
        let field = |name| field(node, name);
        let one = |definition: Option<Definition<'t>>| definition.into_iter().collect();
        match node.kind() {
            "variable_declarator" => match (field("name"), field("value")) {
                (Some(name), Some(value)) => vec![Definition::Set(name, value)],
                // `var exchange;`, to be given a value later.
                _ => Vec::new(),
            },
            "assignment_expression" => one(field("left")
                .zip(field("right"))
                .map(|(target, value)| Definition::Change(target, value))),
            "augmented_assignment_expression" => one(field("left").map(Definition::Spoil)),
            "update_expression" => one(field("argument").map(Definition::Spoil)),
            "field_definition" | "public_field_definition" => {
                let name = field("property").or(field("name"));
                one(name.zip(field("value")).map(|(name, value)| Definition::Set(name, value)))
            }
            "for_in_statement" => {
                let operator = field("operator").map(|operator| source.text_of(operator));
                let sides = field("left").zip(field("right"));
                one(sides.map(|(target, of)| match operator {
                    Some("in") => Definition::ForKeys(target, of),
                    _ => Definition::ForEach(target, of),
                }))
            }
            "function_declaration" | "generator_function_declaration" | "method_definition" => {
                one(field("name").map(|name| Definition::Function(source.text_of(name))))
            }
            "import_specifier" => one(field("alias").or(field("name")).map(Definition::Lose)),
            "catch_clause" => one(field("parameter").map(Definition::Lose)),
            _ => Vec::new(),
        }
    }

    fn is_self(&self, name: &str) -> bool {
        name == "this"
    }

    fn is_walled(&self, _: &str) -> bool {
        false
    }

    fn loops_over_keys(&self) -> bool {
        false
    }

    fn changing_methods(&self) -> &'static [&'static str] {
        &["push", "unshift", "splice", "pop", "shift", "fill"]
    }
}

/// What a `switch` compares with each of its cases.
pub fn switched<'t>(node: Node<'t>, case: &str) -> Vec<(Node<'t>, Node<'t>)> {
    let value = field(node, "value").or(field(node, "condition"));
    let (Some(value), Some(body)) = (value, field(node, "body")) else { return Vec::new() };
    let cases = parts(body).into_iter().filter(|part| part.kind() == case);
    cases.filter_map(|case| Some((value, field(case, "value")?))).collect()
}

fn list<'t>(node: Node<'t>) -> Expression<'t> {
    let parts = parts(node);
    if parts.iter().any(|part| part.kind() == "spread_element") {
        return Expression::Other;
    }
    Expression::List(parts)
}

fn map<'t>(javascript: &JavaScript, source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
    let mut entries = Vec::new();
    for part in parts(node) {
        match part.kind() {
            "pair" | "pair_pattern" => {
                let (Some(key), Some(value)) = (field(part, "key"), field(part, "value")) else {
                    return Expression::Other;
                };
                let key = match (key.kind(), javascript.expression(source, key)) {
                    ("property_identifier" | "number", _) => Key::Text(source.text_of(key).to_owned(), key),
                    (_, Expression::Text(text)) => Key::Text(text, key),
                    _ => Key::Value(key),
                };
                entries.push((key, value));
            }
            "shorthand_property_identifier" | "shorthand_property_identifier_pattern" => {
                entries.push((Key::Text(source.text_of(part).to_owned(), part), part));
            }
            "object_assignment_pattern" => {
                if let Some(left) = field(part, "left") {
                    entries.push((Key::Text(source.text_of(left).to_owned(), left), left));
                }
            }
            "method_definition" => {}
            _ => return Expression::Other,
        }
    }
    Expression::Map(entries)
}

fn call<'t>(source: &Source<'t>, node: Node<'t>, function: Option<Node<'t>>) -> Expression<'t> {
    let Some(function) = function else { return Expression::Other };
    let (receiver, name) = match function.kind() {
        "identifier" => (None, function),
        "member_expression" => match field(function, "property") {
            Some(name) => (field(function, "object"), name),
            None => return Expression::Other,
        },
        _ => return Expression::Other,
    };
    let (name_at, name) = (name.start_byte(), source.text_of(name));
    let mut call = Call { node, receiver, name, name_at, arguments: Vec::new(), is_open: false };
    for argument in field(node, "arguments").map(parts).unwrap_or_default() {
        match argument.kind() {
            "spread_element" => call.is_open = true,
            _ => call.arguments.push(Argument { name: None, at: argument.start_byte(), value: argument }),
        }
    }
    Expression::Call(call)
}

fn string<'t>(source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    for child in parts(node) {
        match child.kind() {
            "string_fragment" => text.push_str(source.text_of(child)),
            "escape_sequence" => unescape(source.text_of(child), &mut text),
            "template_substitution" => match parts(child).as_slice() {
                [value] => {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(Piece::Value(*value));
                }
                _ => return Expression::Other,
            },
            _ => return Expression::Other,
        }
    }
    if pieces.is_empty() {
        return Expression::Text(text);
    }
    pieces.push(Piece::Text(text));
    Expression::Join(pieces)
}

/// `import amqp, { connect } from 'amqplib'`
fn imported<'t>(javascript: &JavaScript, source: &Source<'t>, node: Node<'t>) -> Option<Vec<Import<'t>>> {
    let Expression::Text(module) = javascript.expression(source, field(node, "source")?) else { return None };
    let whole = |local: Node<'t>| Import {
        module: module.clone(),
        name: None,
        local: source.text_of(local),
        node: field(node, "source").unwrap_or(node),
    };
    let mut imports = Vec::new();
    for clause in parts(node).into_iter().filter(|part| part.kind() == "import_clause") {
        for part in parts(clause) {
            match part.kind() {
                "identifier" => imports.push(whole(part)),
                "namespace_import" => imports.extend(parts(part).into_iter().map(whole)),
                "named_imports" => {
                    for specifier in parts(part) {
                        let name = field(specifier, "name").unwrap_or(specifier);
                        let local = field(specifier, "alias").unwrap_or(name);
                        imports.push(Import { name: Some(source.text_of(name)), ..whole(local) });
                    }
                }
                _ => {}
            }
        }
    }
    if imports.is_empty() {
        imports.push(Import { local: "", ..whole(node) });
    }
    Some(imports)
}

/// `require('amqplib')`; what it is called here is not needed, for its functions have names of their own.
fn required<'t>(javascript: &JavaScript, source: &Source<'t>, node: Node<'t>) -> Option<Import<'t>> {
    let Expression::Call(call) = javascript.expression(source, node) else { return None };
    let argument = call.positional().next().filter(|_| call.name == "require" && call.receiver.is_none())?;
    let Expression::Text(module) = javascript.expression(source, argument) else { return None };
    Some(Import { module, name: None, local: "", node: argument })
}
