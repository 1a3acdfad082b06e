//! From tokens to a tree.

use super::{
    Function, MAX_FORMULA_BYTES, Name, NameKind, Node, Op, Pick,
    lexer::{Token, TokenKind, tokens},
};
use crate::error::{Invalid, Span};

/// Parentheses, signs and powers in each other at most.
const MAX_DEPTH: u32 = 64;

pub(super) fn parse(text: &str) -> Result<Node, Invalid> {
    if text.len() > MAX_FORMULA_BYTES {
        let message =
            format!("The formula has {} bytes; at most {MAX_FORMULA_BYTES} are read", text.len());
        return Err(Invalid::at(message, 0, text.len()));
    }
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err(Invalid::at("The formula is empty", 0, text.len()));
    }
    let mut parser = Parser { text, tokens: &tokens, next: 0, depth: 0 };
    let node = parser.sum()?;
    match parser.peek() {
        None => Ok(node),
        Some(token) if token.kind == TokenKind::Sign(')') => {
            Err(at(token.span, "There is no “(” for this “)”"))
        }
        Some(token) => Err(at(
            token.span,
            format!("An operator (+ - * / ^) is missing before “{}”", parser.written(token)),
        )),
    }
}

fn at(span: Span, message: impl Into<String>) -> Invalid {
    Invalid::at(message, span.start, span.end)
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    next: usize,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn sum(&mut self) -> Result<Node, Invalid> {
        self.row(&[('+', Op::Add), ('-', Op::Subtract)], Self::product)
    }

    fn product(&mut self) -> Result<Node, Invalid> {
        self.row(&[('*', Op::Multiply), ('/', Op::Divide)], Self::sign)
    }

    /// Parts with operators of one rank between them, from left to right.
    fn row(
        &mut self,
        operators: &[(char, Op)],
        part: fn(&mut Self) -> Result<Node, Invalid>,
    ) -> Result<Node, Invalid> {
        let mut left = part(self)?;
        let mut length = 0;
        while let Some((_, op)) = operators.iter().find(|(sign, _)| self.is_at(*sign)) {
            self.next += 1;
            // The tree grows to the left: its depth is bounded as well.
            length += 1;
            if length > 500 {
                return Err(at(self.here(), "The formula has too many parts"));
            }
            let right = part(self)?;
            left = Node::Binary { op: *op, left: Box::new(left), right: Box::new(right) };
        }
        Ok(left)
    }

    fn sign(&mut self) -> Result<Node, Invalid> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(at(self.here(), "The formula is nested too deeply"));
        }
        let node = if self.is_at('-') {
            self.next += 1;
            Node::Negative(Box::new(self.sign()?))
        } else if self.is_at('+') {
            self.next += 1;
            self.sign()?
        } else {
            self.power()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn power(&mut self) -> Result<Node, Invalid> {
        let base = self.atom()?;
        if !self.is_at('^') {
            return Ok(base);
        }
        self.next += 1;
        let exponent = self.sign()?;
        Ok(Node::Binary { op: Op::Power, left: Box::new(base), right: Box::new(exponent) })
    }

    fn atom(&mut self) -> Result<Node, Invalid> {
        let Some(token) = self.peek() else {
            return Err(at(self.here(), "The formula ends where a number or a name should follow"));
        };
        self.next += 1;
        match &token.kind {
            TokenKind::Number(number) => Ok(Node::Number(*number)),
            TokenKind::Sign('(') => {
                let node = self.sum()?;
                self.close(token.span)?;
                Ok(node)
            }
            TokenKind::Word(word) if self.is_at('(') => self.call(word, token.span),
            TokenKind::Word(_) | TokenKind::Quoted(_) => Ok(Node::Name(self.name(token)?)),
            TokenKind::Sign(_) => Err(at(
                token.span,
                format!("A number or a name should stand before “{}”", self.written(token)),
            )),
        }
    }

    /// The name that begins with a token which was taken.
    fn name(&mut self, token: &Token) -> Result<Name, Invalid> {
        let (word, mut span) = match &token.kind {
            TokenKind::Quoted(key) => {
                return Ok(Name { kind: NameKind::Metric, key: key.clone(), span: token.span });
            }
            TokenKind::Word(word) => (word.as_str(), token.span),
            _ => return Err(at(token.span, "The name of a metric should stand here")),
        };
        let kind = match word.split_once('.').map_or(word, |(group, _)| group) {
            "metrics" => NameKind::Metric,
            "params" => NameKind::Param,
            _ => return Ok(Name { kind: NameKind::Metric, key: word.to_owned(), span }),
        };
        if let Some((_, key)) = word.split_once('.') {
            return Ok(Name { kind, key: key.to_owned(), span });
        }
        if !self.is_at('.') {
            return Ok(Name { kind: NameKind::Metric, key: word.to_owned(), span });
        }
        self.next += 1;
        match self.peek().map(|token| (&token.kind, token.span)) {
            Some((TokenKind::Quoted(key), end)) => {
                self.next += 1;
                span.end = end.end;
                Ok(Name { kind, key: key.clone(), span })
            }
            _ => Err(at(self.here(), format!("A name should follow “{word}.”"))),
        }
    }

    fn call(&mut self, word: &str, span: Span) -> Result<Node, Invalid> {
        self.next += 1;
        let pick = match word {
            "first" => Some(Pick::First),
            "last" => Some(Pick::Last),
            "min" => Some(Pick::Min),
            "max" => Some(Pick::Max),
            "mean" => Some(Pick::Mean),
            "best" => Some(Pick::Best),
            "at" => Some(Pick::At(0)),
            _ => None,
        };
        let function = match word {
            "abs" => Some(Function::Abs),
            "sqrt" => Some(Function::Sqrt),
            "exp" => Some(Function::Exp),
            "log" | "ln" => Some(Function::Log),
            "log2" => Some(Function::Log2),
            "log10" => Some(Function::Log10),
            "min" => Some(Function::Min),
            "max" => Some(Function::Max),
            _ => None,
        };
        if pick.is_none() && function.is_none() {
            return Err(at(
                span,
                format!(
                    "There is no function “{word}”: there are abs, sqrt, exp, log, log2, log10, \
                     first, last, min, max, mean, best and at"
                ),
            ));
        }
        let mut arguments = Vec::new();
        if !self.is_at(')') {
            arguments.push(self.sum()?);
            while self.is_at(',') {
                self.next += 1;
                arguments.push(self.sum()?);
            }
        }
        let end = self.close(span)?;
        let whole = Span { start: span.start, end };
        let is_several = matches!(function, Some(Function::Min | Function::Max));
        if let Some(function) = function
            && (pick.is_none() || arguments.len() > 1)
        {
            if arguments.len() != 1 && !is_several {
                let message = format!("“{word}” takes one argument, not {}", arguments.len());
                return Err(at(whole, message));
            }
            return Ok(Node::Call { function, arguments });
        }
        let pick = match (pick, &arguments[..]) {
            (Some(Pick::At(_)), [_, step]) => match step_of(step) {
                Some(step) => Pick::At(step),
                None => return Err(at(whole, "“at” takes a whole step: at(loss, 100)")),
            },
            (Some(Pick::At(_)), _) => {
                return Err(at(whole, "“at” takes a metric and a step: at(loss, 100)"));
            }
            (Some(pick), [_]) => pick,
            _ => {
                let message = format!("“{word}” takes one metric, not {}", arguments.len());
                return Err(at(whole, message));
            }
        };
        match arguments.swap_remove(0) {
            Node::Name(name) if name.kind == NameKind::Metric => Ok(Node::Reduced { pick, name }),
            _ => Err(at(whole, format!("“{word}” takes the name of a metric, not a formula"))),
        }
    }

    /// Takes the `)` for the `(` of a place; answers where it ends.
    fn close(&mut self, open: Span) -> Result<usize, Invalid> {
        match self.peek() {
            Some(token) if token.kind == TokenKind::Sign(')') => {
                self.next += 1;
                Ok(token.span.end)
            }
            None => Err(at(open, "The parenthesis that begins here is not closed")),
            Some(token) => Err(at(
                token.span,
                format!("An operator or “)” should stand before “{}”", self.written(token)),
            )),
        }
    }

    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next)
    }

    fn is_at(&self, sign: char) -> bool {
        self.peek().is_some_and(|token| token.kind == TokenKind::Sign(sign))
    }

    /// The place of the next token, or the end of the text.
    fn here(&self) -> Span {
        let end = self.text.len();
        self.peek().map_or(Span { start: end, end }, |token| token.span)
    }

    fn written(&self, token: &Token) -> &'a str {
        &self.text[token.span.start..token.span.end]
    }
}

/// The whole number that a node is.
fn step_of(node: &Node) -> Option<i64> {
    match node {
        Node::Number(number) if number.fract() == 0.0 && number.abs() <= 9e15 => {
            Some(*number as i64)
        }
        Node::Negative(node) => step_of(node).map(|step| -step),
        _ => None,
    }
}
