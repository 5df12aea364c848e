//! What an expression is, whatever language it is written in. One level of it: what is inside stays a node, and is
//! looked at when it is needed.

use tree_sitter::Node;

/// One level of an expression.
#[derive(Debug, Clone)]
pub enum Expression<'t> {
    /// A text without anything to be put into it.
    Text(String),
    /// Pieces, one behind the other.
    Join(Vec<Piece<'t>>),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// `None`, `null`, `undefined`.
    Nothing,
    /// A variable or a constant.
    Name(&'t str),
    /// A member of an object or a class, or what a text is the key of.
    Member {
        /// Of what.
        object: Node<'t>,
        /// Its name.
        name: String,
    },
    /// What any other expression is the key of.
    Index {
        /// Of what.
        object: Node<'t>,
    },
    /// A call.
    Call(Call<'t>),
    /// A list, a tuple, a set.
    List(Vec<Node<'t>>),
    /// Keys and values.
    Map(Vec<(Key<'t>, Node<'t>)>),
    /// `|`, the union of flags.
    Union(Node<'t>, Node<'t>),
    /// Something in parentheses, or awaited.
    Inner(Node<'t>),
    /// A function without a name.
    Function,
    /// Anything else.
    Other,
}

/// A piece of a text.
#[derive(Debug, Clone)]
pub enum Piece<'t> {
    /// As it stands.
    Text(String),
    /// What comes out of an expression.
    Value(Node<'t>),
}

/// A key of a map.
#[derive(Debug, Clone)]
pub enum Key<'t> {
    /// As it stands, and where.
    Text(String, Node<'t>),
    /// What comes out of an expression.
    Value(Node<'t>),
}

/// A call of a function or a method, or the making of an object.
#[derive(Debug, Clone)]
pub struct Call<'t> {
    /// The whole call.
    pub node: Node<'t>,
    /// The object whose method it is, or the module whose function it is.
    pub receiver: Option<Node<'t>>,
    /// What is called.
    pub name: &'t str,
    /// Where that stands.
    pub name_at: usize,
    /// With what.
    pub arguments: Vec<Argument<'t>>,
    /// Whether there are arguments that cannot be counted, such as `**options`.
    pub is_open: bool,
}

/// An argument.
#[derive(Debug, Clone, Copy)]
pub struct Argument<'t> {
    /// Its name, where it has one.
    pub name: Option<&'t str>,
    /// Where it begins, with its name.
    pub at: usize,
    /// Its value.
    pub value: Node<'t>,
}

impl<'t> Call<'t> {
    /// The arguments without names, in order.
    pub fn positional(&self) -> impl Iterator<Item = Node<'t>> {
        self.arguments.iter().filter(|argument| argument.name.is_none()).map(|argument| argument.value)
    }

    /// The argument of one of these names.
    #[must_use]
    pub fn named(&self, names: &[&str]) -> Option<Node<'t>> {
        self.argument_named(names).map(|argument| argument.value)
    }

    /// Where the argument of one of these names begins.
    #[must_use]
    pub fn place_of(&self, names: &[&str]) -> Option<usize> {
        self.argument_named(names).map(|argument| argument.at)
    }

    fn argument_named(&self, names: &[&str]) -> Option<&Argument<'t>> {
        self.arguments.iter().find(|argument| argument.name.is_some_and(|name| names.contains(&name)))
    }

    /// The argument of one of these names, or the one in this place.
    #[must_use]
    pub fn argument(&self, names: &[&str], place: usize) -> Option<Node<'t>> {
        self.named(names).or_else(|| self.positional().nth(place))
    }
}

/// The children of a node that are not mere punctuation or comments.
#[must_use]
pub fn parts<'t>(node: Node<'t>) -> Vec<Node<'t>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).filter(|child| !child.is_extra()).collect()
}

/// The child of a node in this field.
#[must_use]
pub fn field<'t>(node: Node<'t>, name: &str) -> Option<Node<'t>> {
    node.child_by_field_name(name)
}
