//! A filter cut into tokens, each with its place. The parser reads them; so may a highlighter.

use crate::error::Span;

/// What a token is, as far as that shows without knowing its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// `metrics.loss`, `` params.`batch size` ``, `status`: an identifier with all its parts.
    Name,
    /// `AND`, `OR`, `NOT`, `LIKE`, `ILIKE`, `IN`, `IS` or `NULL`, in any case.
    Keyword,
    /// A decimal number, perhaps negative, perhaps with an exponent.
    Number,
    /// A text in single quotes.
    Text,
    /// Something in double quotes or backticks that stands alone: a name on the left of an
    /// operator; on its right a text if the quotes are double.
    Quoted,
    /// A run of `=`, `!`, `<` and `>`; not every run is an operator of the language.
    Operator,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// A quote that is never closed, and everything behind it.
    Unclosed,
    /// Anything else.
    Unknown,
}

/// A piece of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is, in bytes of the filter.
    pub span: Span,
}

impl Token {
    /// The token as it was written, quotes included.
    pub fn text<'filter>(&self, filter: &'filter str) -> &'filter str {
        &filter[self.span.start..self.span.end]
    }
}

/// Cuts any text into tokens, in order; only white space is between them.
///
/// Never fails, so that a filter can be coloured while it is typed. Linear in the text.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut lexer = Lexer { text, at: 0 };
    while let Some(token) = lexer.next_token() {
        found.push(token);
    }
    found
}

const KEYWORDS: [&str; 8] = ["AND", "OR", "NOT", "LIKE", "ILIKE", "IN", "IS", "NULL"];

/// Whether a character may stand in a name without quotes.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Lexer<'filter> {
    text: &'filter str,
    at: usize,
}

impl Lexer<'_> {
    fn next_token(&mut self) -> Option<Token> {
        self.skip_while(char::is_whitespace);
        let start = self.at;
        let first = self.peek()?;
        let kind = match first {
            '(' => self.take_one(TokenKind::Open),
            ')' => self.take_one(TokenKind::Close),
            ',' => self.take_one(TokenKind::Comma),
            '=' | '!' | '<' | '>' => {
                self.skip_while(|c| matches!(c, '=' | '!' | '<' | '>'));
                TokenKind::Operator
            }
            '\'' => self.quoted('\'').map_or(TokenKind::Unclosed, |()| TokenKind::Text),
            _ if self.number_starts_here() => self.number(),
            '"' | '`' => self.name(),
            c if is_word(c) => self.name(),
            _ => self.unknown(),
        };
        Some(Token { kind, span: Span { start, end: self.at } })
    }

    /// An identifier: words and quoted parts, joined by dots. A keyword is a word alone.
    fn name(&mut self) -> TokenKind {
        let start = self.at;
        let mut parts_joined = false;
        let mut is_quoted = false;
        loop {
            match self.peek() {
                // A single quote starts a part only behind a dot: `tags.'a b'`.
                Some(quote @ ('"' | '`')) => {
                    is_quoted = true;
                    if self.quoted(quote).is_none() {
                        return TokenKind::Unclosed;
                    }
                }
                Some('\'') if parts_joined => {
                    if self.quoted('\'').is_none() {
                        return TokenKind::Unclosed;
                    }
                }
                _ => self.skip_while(is_word),
            }
            if self.peek() != Some('.') {
                break;
            }
            parts_joined = true;
            self.at += 1;
        }
        let written = &self.text[start..self.at];
        if is_quoted && !parts_joined {
            TokenKind::Quoted
        } else if KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(written)) {
            TokenKind::Keyword
        } else {
            TokenKind::Name
        }
    }

    /// Steps over a quoted part that starts here, or to the end of the text if it is never closed.
    ///
    /// There is no escape, yet a doubled quote and (except in backticks) a quote behind a backslash
    /// do not close the part; they stay in it as written. Where no other quote follows, the last
    /// such quote closes it after all, so that `'C:\'` is a text.
    /// Source: what MLflow 3.17 answers.
    fn quoted(&mut self, quote: char) -> Option<()> {
        let bytes = self.text.as_bytes();
        let quote = quote as u8;
        let mut fallback = None;
        let mut at = self.at + 1;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' if quote != b'`' && bytes.get(at + 1) == Some(&quote) => {
                    fallback = Some(at + 2);
                    at += 2;
                }
                byte if byte == quote && bytes.get(at + 1) == Some(&quote) => {
                    fallback = Some(at + 1);
                    at += 2;
                }
                byte if byte == quote => {
                    self.at = at + 1;
                    return Some(());
                }
                _ => at += 1,
            }
        }
        self.at = fallback.unwrap_or(bytes.len());
        fallback.map(|_| ())
    }

    /// Whether `7`, `.5`, `-7` or `-.5` begins here.
    fn number_starts_here(&self) -> bool {
        let bytes = &self.text.as_bytes()[self.at..];
        let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
        let bytes = bytes.strip_prefix(b".").unwrap_or(bytes);
        bytes.first().is_some_and(u8::is_ascii_digit)
    }

    /// A number; unknown when letters, digits or dots are glued to it.
    fn number(&mut self) -> TokenKind {
        if self.peek() == Some('-') {
            self.at += 1;
        }
        self.skip_while(|c| c.is_ascii_digit());
        if self.peek() == Some('.') {
            self.at += 1;
            self.skip_while(|c| c.is_ascii_digit());
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            let bytes = self.text.as_bytes();
            let sign = usize::from(matches!(bytes.get(self.at + 1), Some(b'+' | b'-')));
            if bytes.get(self.at + 1 + sign).is_some_and(u8::is_ascii_digit) {
                self.at += 1 + sign;
                self.skip_while(|c| c.is_ascii_digit());
            }
        }
        let end = self.at;
        self.skip_while(|c| is_word(c) || c == '.');
        if self.at == end { TokenKind::Number } else { TokenKind::Unknown }
    }

    /// Steps over everything that begins no other token.
    fn unknown(&mut self) -> TokenKind {
        while let Some(c) = self.peek() {
            let begins_other = c.is_whitespace()
                || is_word(c)
                || matches!(c, '(' | ')' | ',' | '=' | '!' | '<' | '>' | '\'' | '"' | '`')
                || self.number_starts_here();
            if begins_other {
                break;
            }
            self.at += c.len_utf8();
        }
        TokenKind::Unknown
    }

    fn take_one(&mut self, kind: TokenKind) -> TokenKind {
        self.at += 1;
        kind
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[(TokenKind, &str)]) {
        let found: Vec<_> =
            tokens(text).iter().map(|token| (token.kind, token.text(text))).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_clause_is_three_tokens_with_or_without_spaces() {
        use TokenKind::{Keyword, Name, Number, Operator, Text};
        check(
            "metrics.a.b>=-1.5e-3",
            &[(Name, "metrics.a.b"), (Operator, ">="), (Number, "-1.5e-3")],
        );
        check(
            "params.a='x'And tag.b  like\n'y'",
            &[
                (Name, "params.a"),
                (Operator, "="),
                (Text, "'x'"),
                (Keyword, "And"),
                (Name, "tag.b"),
                (Keyword, "like"),
                (Text, "'y'"),
            ],
        );
    }

    #[test]
    fn quoted_parts_belong_to_the_name() {
        use TokenKind::{Name, Quoted};
        check("tags.`a b`", &[(Name, "tags.`a b`")]);
        check("tags.\"a'b\"", &[(Name, "tags.\"a'b\"")]);
        check("tags.'a b'", &[(Name, "tags.'a b'")]);
        check("`metrics`.`a``b`", &[(Name, "`metrics`.`a``b`")]);
        check("`run name`", &[(Quoted, "`run name`")]);
        check("tags.and", &[(Name, "tags.and")]);
    }

    #[test]
    fn quotes_close_where_mlflow_closes_them() {
        use TokenKind::{Operator, Text, Unclosed};
        check("'it''s'", &[(Text, "'it''s'")]);
        check(r"'a\'b'", &[(Text, r"'a\'b'")]);
        check(r"'C:\'", &[(Text, r"'C:\'")]);
        check("''", &[(Text, "''")]);
        check("'a''", &[(Text, "'a'"), (Unclosed, "'")]);
        check("='x y", &[(Operator, "="), (Unclosed, "'x y")]);
    }

    #[test]
    fn odd_numbers_are_unknown() {
        use TokenKind::{Name, Number, Unknown};
        check("5. .5 -.5 1e5", &[(Number, "5."), (Number, ".5"), (Number, "-.5"), (Number, "1e5")]);
        check(
            "0x10 1_000 1.5e 1.2.3",
            &[(Unknown, "0x10"), (Unknown, "1_000"), (Unknown, "1.5e"), (Unknown, "1.2.3")],
        );
        check("- 1", &[(Unknown, "-"), (Number, "1")]);
        check("a-1", &[(Name, "a"), (Number, "-1")]);
        check("--x;", &[(Unknown, "--"), (Name, "x"), (Unknown, ";")]);
    }

    proptest! {
        #[test]
        fn tokens_cover_everything_but_white_space(text in "[a-z.'\"`\\\\=<>!(),;é \\-0-9]{0,60}|\\PC{0,60}") {
            let mut at = 0;
            for token in tokens(&text) {
                prop_assert!(text[at..token.span.start].chars().all(char::is_whitespace));
                prop_assert!(token.span.start < token.span.end);
                at = token.span.end;
            }
            prop_assert!(text[at..].chars().all(char::is_whitespace));
        }
    }
}
