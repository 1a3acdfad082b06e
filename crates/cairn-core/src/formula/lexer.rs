//! A formula cut into tokens, each with its place.

use crate::error::{Invalid, Span};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Number(f64),
    /// A name without quotes.
    Word(String),
    /// What stood in backquotes.
    Quoted(String),
    /// `+ - * / ^ ( ) ,` and the dot before a quoted name.
    Sign(char),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub span: Span,
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Invalid> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, len) = match first {
            '0'..='9' | '.'
                if rest[1..].starts_with(|c: char| c.is_ascii_digit()) || first != '.' =>
            {
                let len = number_len(rest);
                let number = rest[..len].parse().map_err(|_| {
                    Invalid::at(format!("“{}” is no number", &rest[..len]), at, at + len)
                })?;
                (TokenKind::Number(number), len)
            }
            '`' => {
                let Some(end) = rest[1..].find('`') else {
                    return Err(Invalid::at("The backquote here is not closed", at, text.len()));
                };
                if end == 0 {
                    return Err(Invalid::at("There is no name in the backquotes", at, at + 2));
                }
                (TokenKind::Quoted(rest[1..=end].to_owned()), end + 2)
            }
            c if c.is_alphabetic() || c == '_' => {
                let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
                let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                // The dot of `metrics.` before a backquote is a sign of its own.
                let word = rest[..len].trim_end_matches('.');
                (TokenKind::Word(word.to_owned()), word.len())
            }
            '+' | '-' | '*' | '/' | '^' | '(' | ')' | ',' | '.' => {
                if rest.starts_with("**") {
                    return Err(Invalid::at("“**” is written ^ here", at, at + 2));
                }
                (TokenKind::Sign(first), 1)
            }
            // As they come from documents.
            '−' | '–' => (TokenKind::Sign('-'), first.len_utf8()),
            '·' | '×' => (TokenKind::Sign('*'), first.len_utf8()),
            '\'' | '"' => {
                let message = "Names stand in backquotes: `train/loss`";
                return Err(Invalid::at(message, at, at + 1));
            }
            other => {
                let message = format!("“{other}” has no meaning in a formula");
                return Err(Invalid::at(message, at, at + other.len_utf8()));
            }
        };
        tokens.push(Token { kind, span: Span { start: at, end: at + len } });
        at += len;
    }
    Ok(tokens)
}

/// The length of the number that a text begins with: digits, a dot, an exponent.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes[from..]
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .map_or(bytes.len(), |n| from + n)
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1 + sign);
        }
    }
    end
}
