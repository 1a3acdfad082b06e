//! Query strings of URLs.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::json::Json;

/// Splits a query string into its pairs, decoded once; `+` is a space.
///
/// Bytes that are no UTF-8 become replacement characters. Pairs keep their order, repeated keys
/// included.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

/// The pairs as an object of texts; a repeated key becomes a list of its values.
pub(crate) fn as_object(query: &str) -> Json<'_> {
    let mut object: Vec<(Cow<'_, str>, Json<'_>)> = Vec::new();
    for (key, value) in pairs(query) {
        let value = Json::Text(value);
        match object.iter_mut().find(|(known, _)| *known == key) {
            None => object.push((key, value)),
            Some((_, Json::List(values))) => values.push(value),
            Some((_, first)) => {
                *first = Json::List(vec![std::mem::replace(first, Json::Null), value]);
            }
        }
    }
    Json::Object(object)
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_once() {
        let found: Vec<_> = pairs("a=1&b=x%2520y+z&&c&d=%2B").collect();
        let expected = [("a", "1"), ("b", "x%20y z"), ("c", ""), ("d", "+")];
        assert_eq!(found, expected.map(|(key, value)| (key.into(), value.into())));
    }

    #[test]
    fn repeated_keys_become_a_list() {
        let Json::Object(object) = as_object("o=a&o=b&o=c&p=1") else { panic!("an object") };
        assert_eq!(object.len(), 2);
        assert!(matches!(&object[0].1, Json::List(values) if values.len() == 3));
    }
}
