//! The optional token of a port: off by default, since everything on a loopback port comes from
//! this computer; switched on where other people use the computer too.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use crate::guard::only_value;

/// Wrong tokens within [`WRONG_WINDOW`] that are answered at once; later ones wait for [`DELAY`].
pub const WRONG_AT_ONCE: usize = 20;
/// How long a wrong token is remembered.
pub const WRONG_WINDOW: Duration = Duration::from_mins(1);
/// How long the answer to a wrong token waits when there were many.
pub const DELAY: Duration = Duration::from_secs(1);
/// Answers that may wait at once; beyond these a wrong token is answered at once, so that waiting
/// answers cannot take all connections.
pub const MAX_WAITING: usize = 64;

/// A secret of 256 bits as 64 lower-case hexadecimal digits. Not shown by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The number of digits.
    pub const DIGITS: usize = 64;

    /// Reads a token; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == Self::DIGITS && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Compares in a time that does not depend on where the texts differ.
    fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Who may use a port, after the guard let the request pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AccessRule {
    /// Every program on this computer.
    #[default]
    Everyone,
    /// Who sends `Authorization: Bearer` with this token, as MLflow's client does when
    /// `MLFLOW_TRACKING_TOKEN` is set.
    Token(Token),
    /// No one: a token is wanted, but there is none.
    Nobody,
}

/// The rule of a port, which may change while it is served. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Access(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    rule: RwLock<AccessRule>,
    /// When wrong tokens came, oldest first; at most [`WRONG_AT_ONCE`].
    wrong: Mutex<VecDeque<Instant>>,
    waiting: AtomicUsize,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is served.
    Served,
    /// It is refused at once.
    Refused,
    /// It is refused after [`DELAY`].
    RefusedLater(Waiting),
}

/// A place among the answers that wait; given back when dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Shared>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Access {
    /// A port with a rule.
    pub fn new(rule: AccessRule) -> Self {
        let access = Self::default();
        access.set(rule);
        access
    }

    /// Changes the rule from the next request on.
    pub fn set(&self, rule: AccessRule) {
        *self.0.rule.write().expect("no holder of this lock panics") = rule;
    }

    /// Decides about a request by its head.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Verdict {
        let rule = self.0.rule.read().expect("no holder of this lock panics").clone();
        let token = match rule {
            AccessRule::Everyone => return Verdict::Served,
            AccessRule::Nobody => return Verdict::Refused,
            AccessRule::Token(token) => token,
        };
        if !headers.contains_key(header::AUTHORIZATION) {
            // A client that was not told the token guesses nothing.
            return Verdict::Refused;
        }
        let given = only_value(headers, &header::AUTHORIZATION).and_then(bearer);
        if given.is_some_and(|given| token.is(given.as_bytes())) {
            return Verdict::Served;
        }
        self.refuse_wrong()
    }

    /// Counts a wrong token, and makes it wait when there were many.
    fn refuse_wrong(&self) -> Verdict {
        let now = Instant::now();
        let mut wrong = self.0.wrong.lock().expect("no holder of this lock panics");
        while wrong.front().is_some_and(|then| now.duration_since(*then) >= WRONG_WINDOW) {
            wrong.pop_front();
        }
        if wrong.len() < WRONG_AT_ONCE {
            wrong.push_back(now);
            return Verdict::Refused;
        }
        // The oldest makes room, so that a flood keeps its own delay alive.
        wrong.pop_front();
        wrong.push_back(now);
        drop(wrong);
        let waiting = Waiting(self.0.clone());
        if self.0.waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING {
            Verdict::RefusedLater(waiting)
        } else {
            Verdict::Refused
        }
    }
}

/// What follows `Bearer`, whatever the case of that word.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const RIGHT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn access() -> Access {
        Access::new(AccessRule::Token(Token::parse(RIGHT).unwrap()))
    }

    fn kind(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Served => "served",
            Verdict::Refused => "refused",
            Verdict::RefusedLater(_) => "refused later",
        }
    }

    fn check(access: &Access, values: &[&str]) -> Verdict {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            headers.append(header::AUTHORIZATION, value);
        }
        access.check(&headers)
    }

    #[test]
    fn a_token_has_64_digits_and_is_not_shown() {
        let token = Token::parse(RIGHT).unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert!(!format!("{:?}", access()).contains("0123"));
        for text in [
            "",
            &RIGHT[1..],
            &format!("{RIGHT}0"),
            &RIGHT.to_uppercase(),
            &RIGHT.replace('0', "g"),
            &RIGHT.replace('0', "/"),
            &RIGHT.replace('0', ":"),
            &RIGHT.replace('0', "`"),
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn only_the_whole_token_is_served() {
        let access = access();
        for value in [format!("Bearer {RIGHT}"), format!("bearer  {RIGHT} ")] {
            assert_eq!(kind(&check(&access, &[&value])), "served", "{value}");
        }
        let mut other = RIGHT.to_owned();
        other.replace_range(63.., "0");
        let right = format!("Bearer {RIGHT}");
        for values in [
            &[] as &[&str],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &[RIGHT],
            &[&format!("Basic {RIGHT}")],
            &[&format!("Bearer {other}")],
            &[&format!("Bearer {}", &RIGHT[..63])],
            &[&format!("Bearer {RIGHT}0")],
            &[&format!("Bearer {}", RIGHT.to_uppercase())],
            &[&right, &right],
            &["Bearer \u{e9}"],
        ] {
            assert_eq!(kind(&check(&access, values)), "refused", "{values:?}");
        }
    }

    #[tokio::test]
    async fn without_a_rule_all_are_served_and_without_a_token_none() {
        let access = Access::default();
        assert_eq!(kind(&check(&access, &[])), "served");
        assert_eq!(kind(&check(&access, &["Bearer wrong"])), "served");
        access.set(AccessRule::Nobody);
        assert_eq!(kind(&check(&access, &[])), "refused");
        assert_eq!(kind(&check(&access, &["Bearer "])), "refused");
        assert_eq!(kind(&check(&access, &[&format!("Bearer {RIGHT}")])), "refused");
        access.set(AccessRule::Everyone);
        assert_eq!(kind(&check(&access, &[])), "served");
    }

    #[tokio::test(start_paused = true)]
    async fn many_wrong_tokens_wait_and_right_ones_do_not() {
        let access = access();
        let wrong = |access: &Access| check(access, &["Bearer wrong"]);
        for _ in 0..WRONG_AT_ONCE {
            assert_eq!(kind(&wrong(&access)), "refused");
        }
        let later: Vec<Verdict> = (0..MAX_WAITING).map(|_| wrong(&access)).collect();
        assert!(later.iter().all(|verdict| matches!(verdict, Verdict::RefusedLater(_))));
        assert_eq!(kind(&wrong(&access)), "refused", "too many wait already");
        assert_eq!(kind(&check(&access, &[&format!("Bearer {RIGHT}")])), "served");
        assert_eq!(kind(&check(&access, &[])), "refused", "no token is no guess");
        drop(later);
        assert!(matches!(wrong(&access), Verdict::RefusedLater(_)));
        // The last of them is forgotten after a minute, not before.
        tokio::time::advance(Duration::from_millis(59_999)).await;
        assert!(matches!(wrong(&access), Verdict::RefusedLater(_)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(kind(&wrong(&access)), "refused");
    }

    /// Welch's t between the times of two kinds of wrong tokens, asked in turn.
    fn position_signal(rounds: usize) -> f64 {
        let access = access();
        let header = |token: String| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::AUTHORIZATION,
                HeaderValue::from_str(&format!("Bearer {token}")).expect("a header value"),
            );
            headers
        };
        // Wrong in the first digit, and in the last one.
        let kinds = [header(format!("f{}", &RIGHT[1..])), header(format!("{}0", &RIGHT[..63]))];
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..2 * rounds {
            let kind = round % 2;
            let began = std::time::Instant::now();
            let verdict = access.check(&kinds[kind]);
            let took = began.elapsed();
            assert!(!matches!(verdict, Verdict::Served));
            times[kind].push(took.as_nanos() as f64);
        }
        let [(first, first_error), (last, last_error)] = times.map(|mut times| {
            // Without the slowest twentieth, in which other programs of the machine had their turn.
            times.sort_by(f64::total_cmp);
            times.truncate(times.len() * 19 / 20);
            let count = times.len() as f64;
            let mean = times.iter().sum::<f64>() / count;
            let variance = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (count - 1.0);
            (mean, variance / count)
        });
        (first - last).abs() / (first_error + last_error).sqrt()
    }

    #[tokio::test]
    async fn the_time_of_a_wrong_token_does_not_tell_where_it_is_wrong() {
        // A leak shows in every measurement, a machine with other work in one of them.
        let signal = (0..5).map(|_| position_signal(10_000)).fold(f64::INFINITY, f64::min);
        assert!(signal < 4.5, "t = {signal}");
    }
}
