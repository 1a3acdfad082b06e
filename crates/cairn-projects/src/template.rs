//! A command with its values: Python's `str.format`, as far as MLflow uses it, and the quoting of a shell.

use crate::project::EntryPoint;

/// What is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandProblem {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: String,
}

/// A part of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// As it is.
    Text(String),
    /// The value of the parameter of this name.
    Value(String),
}

/// What is wrong with the command of an entry point, before any value is known.
pub(crate) fn check(entry_point: &EntryPoint) -> Vec<CommandProblem> {
    match parts(&entry_point.command) {
        Err(problem) => vec![problem],
        Ok(parts) => parts
            .iter()
            .filter_map(|part| match part {
                Part::Value(name) if entry_point.parameter(name).is_none() => {
                    Some(undeclared(name, entry_point))
                }
                _ => None,
            })
            .collect(),
    }
}

/// Puts values into a command. `value` answers the quoted value of a name.
///
/// Errors: what [`check`] finds; a command that was checked has no others.
pub(crate) fn fill(
    command: &str,
    value: impl Fn(&str) -> Option<String>,
) -> Result<String, CommandProblem> {
    let mut filled = String::new();
    for part in parts(command)? {
        match part {
            Part::Text(text) => filled.push_str(&text),
            Part::Value(name) => match value(&name) {
                Some(value) => filled.push_str(&value),
                None => {
                    return Err(CommandProblem {
                        message: format!("the command uses {{{name}}}, which has no value"),
                        hint: "Declare it under parameters, or double the braces.".to_owned(),
                    });
                }
            },
        }
    }
    Ok(filled)
}

/// Quotes a text for a POSIX shell exactly as Python's `shlex.quote` does, which MLflow uses.
pub fn quote(text: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(is_safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// Whether Python's `float` reads a text; the reason, as the rest of a sentence, when not.
pub(crate) fn check_float(text: &str) -> Result<(), String> {
    let trimmed = text.trim();
    let wrong = || Err(format!("is \"{}\", which is no number", crate::yaml::shortened(text)));
    // Underscores may stand between two digits.
    let bytes = trimmed.as_bytes();
    let are_underscores_right = bytes.iter().enumerate().all(|(at, &byte)| {
        let is_digit =
            |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        byte != b'_' || (is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)))
    });
    if !are_underscores_right || trimmed.replace('_', "").parse::<f64>().is_err() {
        return wrong();
    }
    Ok(())
}

fn undeclared(name: &str, entry_point: &EntryPoint) -> CommandProblem {
    let shown = crate::yaml::shortened(name);
    let known: Vec<_> =
        entry_point.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let known = if known.is_empty() {
        "this entry point declares none".to_owned()
    } else {
        format!("declared are {}", known.join(", "))
    };
    CommandProblem {
        message: format!("the command uses {{{shown}}}, which is no declared parameter"),
        hint: format!(
            "Declare it under parameters ({known}), or write {{{{{shown}}}}} for braces that stay."
        ),
    }
}

/// Splits a command as `str.format` does: `{{` and `}}` are braces, `{name}` is a value.
///
/// Conversions, format specifications, attributes and indexes (`{x!r}`, `{x:>5}`, `{x.y}`, `{x[0]}`) work on the
/// quoted text in MLflow and break the quoting, so they are refused; so is `{}`, which always fails there.
fn parts(command: &str) -> Result<Vec<Part>, CommandProblem> {
    let wrong = |message: String, hint: &str| CommandProblem { message, hint: hint.to_owned() };
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = command.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' if rest.peek() == Some(&'{') => {
                rest.next();
                text.push('{');
            }
            '}' if rest.peek() == Some(&'}') => {
                rest.next();
                text.push('}');
            }
            '{' => {
                let mut name = String::new();
                loop {
                    match rest.next() {
                        Some('}') => break,
                        Some('{') | None => {
                            return Err(wrong(
                                "a \"{\" in the command is not closed".to_owned(),
                                "Write {name} for a parameter, and {{ for a brace that stays.",
                            ));
                        }
                        Some(c) => name.push(c),
                    }
                }
                if name.is_empty() || name.chars().all(|c| c.is_ascii_digit()) {
                    return Err(wrong(
                        format!("{{{name}}} in the command names no parameter"),
                        "Write {name} for a parameter, and {{}} for braces that stay.",
                    ));
                }
                if name.contains(['!', ':', '.', '[', ']']) {
                    return Err(wrong(
                        format!(
                            "{{{}}} in the command is more than a name",
                            crate::yaml::shortened(&name)
                        ),
                        "Values are put in as they are: write {name}; double the braces for braces that stay.",
                    ));
                }
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Value(name));
            }
            '}' => {
                return Err(wrong(
                    "a \"}\" in the command stands alone".to_owned(),
                    "Write }} for a brace that stays.",
                ));
            }
            c => text.push(c),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_that_of_shlex() {
        for (text, expected) in [
            ("", "''"),
            ("plain-1.5_x@y%z+a=b:c,d/e", "plain-1.5_x@y%z+a=b:c,d/e"),
            ("it's a $HOME; x", "'it'\"'\"'s a $HOME; x'"),
            ("ü", "'ü'"),
            ("a\nb", "'a\nb'"),
            ("~", "'~'"),
        ] {
            assert_eq!(quote(text), expected);
        }
    }

    fn check(command: &str, expected: Result<&str, &str>) {
        let filled =
            fill(command, |name| (name == "x" || name == "a b").then(|| format!("<{name}>")));
        match (filled, expected) {
            (Ok(filled), Ok(expected)) => assert_eq!(filled, expected),
            (Err(problem), Err(expected)) => {
                assert!(problem.message.contains(expected), "{problem:?}");
            }
            (filled, expected) => panic!("{command}: {filled:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn braces_are_those_of_str_format() {
        check("run {x} {{x}} {a b}", Ok("run <x> {x} <a b>"));
        check("{{{x}}}", Ok("{<x>}"));
        check("awk '{print}'", Err("{print}"));
        check("{", Err("not closed"));
        check("}", Err("stands alone"));
        check("{}", Err("names no parameter"));
        check("{0}", Err("names no parameter"));
        check("{x!r}", Err("more than a name"));
        check("{x:>5}", Err("more than a name"));
    }

    #[test]
    fn floats_are_those_of_python() {
        for good in ["1", "-1.5", "1e-3", " 2. ", ".5", "inf", "-Infinity", "nan", "1_000.5"] {
            assert_eq!(check_float(good), Ok(()), "{good}");
        }
        for bad in ["", "abc", "1,5", "0x10", "_1", "1__0", "1 2", "--1", "1e"] {
            assert!(check_float(bad).is_err(), "{bad}");
        }
    }
}
