//! PHP.

use tree_sitter::Node;

use super::expression::{Argument, Call, Expression, Key, Piece, field, parts};
use super::javascript::switched;
use super::names::{Definition, Grammar, Import, ScopeKind};
use super::python::{placed, unescape};
use super::source::Source;

/// PHP.
pub struct Php;

impl<'t> Grammar<'t> for Php {
    fn expression(&self, source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
        match node.kind() {
            "string" | "encapsed_string" => string(source, node),
            "boolean" => Expression::Bool(source.text_of(node).eq_ignore_ascii_case("true")),
            "null" => Expression::Nothing,
            "integer" => source.text_of(node).parse().map_or(Expression::Other, Expression::Number),
            "variable_name" | "name" | "relative_scope" => Expression::Name(source.text_of(node)),
            "qualified_name" => {
                let text = source.text_of(node);
                Expression::Name(text.rsplit('\\').next().unwrap_or(text))
            }
            "member_access_expression" | "nullsafe_member_access_expression" => {
                match (field(node, "object"), field(node, "name")) {
                    (Some(object), Some(name)) => {
                        Expression::Member { object, name: source.text_of(name).to_owned() }
                    }
                    _ => Expression::Other,
                }
            }
            "class_constant_access_expression" | "scoped_property_access_expression" => {
                match parts(node).as_slice() {
                    [object, name] => Expression::Member {
                        object: *object,
                        name: source.text_of(*name).trim_start_matches('$').to_owned(),
                    },
                    _ => Expression::Other,
                }
            }
            "subscript_expression" => match parts(node).as_slice() {
                [object, key] => match self.expression(source, *key) {
                    Expression::Text(name) => Expression::Member { object: *object, name },
                    _ => Expression::Index { object: *object },
                },
                [object] => Expression::Index { object: *object },
                _ => Expression::Other,
            },
            "function_call_expression"
            | "member_call_expression"
            | "nullsafe_member_call_expression"
            | "scoped_call_expression"
            | "object_creation_expression" => call(source, node),
            "array_creation_expression" => array(self, source, node),
            "list_literal" => list(node),
            "parenthesized_expression" => inner(node),
            // `@$event['name']`
            "error_suppression_expression" => inner(node),
            "simple_parameter" | "property_promotion_parameter" | "variadic_parameter" => {
                field(node, "name").map_or(Expression::Other, Expression::Inner)
            }
            "anonymous_function" | "arrow_function" => Expression::Function,
            "binary_expression" => {
                let operator = field(node, "operator").map(|operator| source.text_of(operator));
                match (field(node, "left"), operator, field(node, "right")) {
                    (Some(left), Some("."), Some(right)) => {
                        Expression::Join(vec![Piece::Value(left), Piece::Value(right)])
                    }
                    (Some(left), Some("|"), Some(right)) => Expression::Union(left, right),
                    _ => Expression::Other,
                }
            }
            _ => Expression::Other,
        }
    }

    fn is_call(&self, node: Node<'t>) -> bool {
        matches!(
            node.kind(),
            "function_call_expression"
                | "member_call_expression"
                | "nullsafe_member_call_expression"
                | "scoped_call_expression"
                | "object_creation_expression"
        )
    }

    fn opens(&self, source: &Source<'t>, node: Node<'t>) -> Option<(ScopeKind, Option<&'t str>)> {
        match node.kind() {
            "function_definition" | "method_declaration" => Some((ScopeKind::Function, None)),
            "anonymous_function" | "arrow_function" => Some((ScopeKind::Closure, None)),
            "class_declaration" | "trait_declaration" => {
                Some((ScopeKind::Class, field(node, "name").map(|name| source.text_of(name))))
            }
            "foreach_statement" => Some((ScopeKind::Loop, None)),
            _ => None,
        }
    }

    fn parameters(&self, node: Node<'t>) -> Vec<Node<'t>> {
        field(node, "parameters").map(parts).unwrap_or_default()
    }

    fn imports(&self, source: &Source<'t>, node: Node<'t>) -> Vec<Import<'t>> {
        // Whole names alone: `use PhpAmqpLib\Message\AMQPMessage`, and where a class is named in full.
        let module = match node.kind() {
            "qualified_name" => source.text_of(node),
            "namespace_use_declaration" => match parts(node).first() {
                Some(part) if part.kind() == "namespace_name" => source.text_of(*part),
                _ => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        let local = module.rsplit('\\').next().unwrap_or(module);
        vec![Import { module: module.trim_start_matches('\\').to_owned(), name: Some(local), local, node }]
    }

    fn comparisons(&self, source: &Source<'t>, node: Node<'t>) -> Vec<(Node<'t>, Node<'t>)> {
        match node.kind() {
            "binary_expression" => {
                let operator = field(node, "operator").map(|operator| source.text_of(operator));
                let is_equality = matches!(operator, Some("==" | "===" | "!=" | "!==" | "<>"));
                let sides = field(node, "left").zip(field(node, "right"));
                sides.filter(|_| is_equality).into_iter().collect()
            }
            "switch_statement" => switched(node, "case_statement"),
            _ => Vec::new(),
        }
    }

    fn definitions(&self, source: &Source<'t>, node: Node<'t>) -> Vec<Definition<'t>> {
        let field = |name| field(node, name);
        let one = |definition: Option<Definition<'t>>| definition.into_iter().collect();
        match node.kind() {
            "assignment_expression" => {
                one(field("left").zip(field("right")).map(|(target, value)| Definition::Set(target, value)))
            }
            "reference_assignment_expression" => {
                [field("left"), field("right")].into_iter().flatten().map(Definition::Lose).collect()
            }
            "augmented_assignment_expression" => one(field("left").map(Definition::Lose)),
            "update_expression" => one(field("argument").map(Definition::Lose)),
            "unset_statement" => parts(node).into_iter().map(Definition::Lose).collect(),
            "property_element" => one(match (field("name"), field("default_value")) {
                (Some(name), Some(value)) => Some(Definition::Set(name, value)),
                _ => None,
            }),
            "const_element" => match parts(node).as_slice() {
                [name, value] => vec![Definition::Set(*name, *value)],
                _ => Vec::new(),
            },
            "function_call_expression" => one(defined(self, source, node)),
            "foreach_statement" => match parts(node).as_slice() {
                [of, pair, ..] if pair.kind() == "pair" => match parts(*pair).as_slice() {
                    [key, value] => {
                        vec![Definition::ForKeys(*key, *of), Definition::ForEach(*value, *of)]
                    }
                    _ => Vec::new(),
                },
                [of, target, ..] => vec![Definition::ForEach(*target, *of)],
                _ => Vec::new(),
            },
            "global_declaration" => {
                parts(node).into_iter().map(|name| Definition::Global(source.text_of(name))).collect()
            }
            "function_definition" | "method_declaration" => {
                one(field("name").map(|name| Definition::Function(source.text_of(name))))
            }
            "property_promotion_parameter" => one(field("name").map(Definition::Lose)),
            _ => Vec::new(),
        }
    }

    fn is_self(&self, name: &str) -> bool {
        matches!(name, "$this" | "self" | "static")
    }

    fn is_walled(&self, name: &str) -> bool {
        name.starts_with('$')
    }

    fn loops_over_keys(&self) -> bool {
        false
    }

    fn changing_methods(&self) -> &'static [&'static str] {
        &[]
    }
}

fn inner<'t>(node: Node<'t>) -> Expression<'t> {
    parts(node).first().map_or(Expression::Other, |inner| Expression::Inner(*inner))
}

/// `define('EXCHANGE', 'xivo-cti')`
fn defined<'t>(php: &Php, source: &Source<'t>, node: Node<'t>) -> Option<Definition<'t>> {
    let Expression::Call(call) = php.expression(source, node) else { return None };
    let mut arguments = call.positional().filter(|_| call.name.eq_ignore_ascii_case("define"));
    let (name, value) = (arguments.next()?, arguments.next()?);
    match php.expression(source, name) {
        Expression::Text(name) => Some(Definition::Constant(name, value)),
        _ => None,
    }
}

/// `list($queue, ,)`: places are counted by commas, for some are empty.
fn list<'t>(node: Node<'t>) -> Expression<'t> {
    let mut cursor = node.walk();
    let mut places = Vec::new();
    let mut is_filled = false;
    for child in node.children(&mut cursor) {
        if child.is_named() && !child.is_extra() {
            places.push(child);
            is_filled = true;
        } else if child.kind() == "," {
            if !is_filled {
                // Something that is no name, and so is given nothing.
                places.push(child);
            }
            is_filled = false;
        }
    }
    Expression::List(places)
}

fn array<'t>(php: &Php, source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
    let (mut places, mut entries) = (Vec::new(), Vec::new());
    for element in parts(node) {
        match (element.kind(), parts(element).as_slice()) {
            ("array_element_initializer", [value]) if value.kind() != "variadic_unpacking" => {
                places.push(*value);
            }
            ("array_element_initializer", [key, value]) => {
                let key = match php.expression(source, *key) {
                    Expression::Text(text) => Key::Text(text, *key),
                    _ => Key::Value(*key),
                };
                entries.push((key, *value));
            }
            _ => return Expression::Other,
        }
    }
    match (places.is_empty(), entries.is_empty()) {
        (_, true) => Expression::List(places),
        (true, false) => Expression::Map(entries),
        (false, false) => Expression::Other,
    }
}

fn call<'t>(source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
    let (receiver, called) = match node.kind() {
        "function_call_expression" => (None, field(node, "function")),
        "object_creation_expression" => {
            let is_name = |part: &Node<'t>| matches!(part.kind(), "name" | "qualified_name");
            (None, parts(node).into_iter().find(is_name))
        }
        "scoped_call_expression" => (field(node, "scope"), field(node, "name")),
        _ => (field(node, "object"), field(node, "name")),
    };
    let Some(called) = called.filter(|called| matches!(called.kind(), "name" | "qualified_name")) else {
        return Expression::Other;
    };
    let name = source.text_of(called);
    let name = name.rsplit('\\').next().unwrap_or(name);
    let name_at = called.start_byte();
    let mut call = Call { node, receiver, name, name_at, arguments: Vec::new(), is_open: false };
    let arguments =
        field(node, "arguments").or_else(|| parts(node).into_iter().find(|part| part.kind() == "arguments"));
    for argument in arguments.map(parts).unwrap_or_default() {
        let name = field(argument, "name");
        let value = parts(argument).into_iter().find(|part| Some(*part) != name);
        match value {
            Some(value) if value.kind() == "variadic_unpacking" => call.is_open = true,
            Some(value) => {
                call.arguments.push(Argument {
                    name: name.map(|name| source.text_of(name)),
                    at: argument.start_byte(),
                    value,
                });
            }
            None => call.is_open = true,
        }
    }
    if call.name.eq_ignore_ascii_case("sprintf") && call.receiver.is_none() && !call.is_open {
        return formatted(source, &call).map_or(Expression::Other, Expression::Join);
    }
    Expression::Call(call)
}

/// `sprintf('a.%s', $x)`
fn formatted<'t>(source: &Source<'t>, call: &Call<'t>) -> Option<Vec<Piece<'t>>> {
    let mut values = call.positional();
    let template = values.next().filter(|node| matches!(node.kind(), "string" | "encapsed_string"))?;
    let Expression::Text(template) = string(source, template) else { return None };
    placed(&template, || values.next())
}

fn string<'t>(source: &Source<'t>, node: Node<'t>) -> Expression<'t> {
    let is_plain = node.kind() == "string";
    let mut pieces = Vec::new();
    let mut text = String::new();
    for child in parts(node) {
        match child.kind() {
            "string_content" | "escape_sequence" if is_plain => {
                // Between single quotes a backslash stands for itself, unless before a quote or another.
                text.push_str(&source.text_of(child).replace("\\\\", "\\").replace("\\'", "'"));
            }
            "string_content" => text.push_str(source.text_of(child)),
            "escape_sequence" => unescape(source.text_of(child), &mut text),
            _ => {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Value(child));
            }
        }
    }
    if pieces.is_empty() {
        return Expression::Text(text);
    }
    pieces.push(Piece::Text(text));
    Expression::Join(pieces)
}
