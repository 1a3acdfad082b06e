//! What a search is sorted by.

use std::collections::HashSet;

use super::{
    lexer::{Token, TokenKind, tokens},
    rules::{self, Use},
    tree::{Entity, Field, OrderItem},
};
use crate::{error::Invalid, ids::shorten};

/// The most keys of one order.
pub const MAX_ORDER_KEYS: usize = 100;

/// The longest key that is looked at, in bytes.
const MAX_KEY_BYTES: usize = 10_000;

/// Reads the keys of an order, each `name`, `name ASC` or `name DESC`; ascending if it says nothing.
///
/// The keys come back in their order; which rows without a value come last, and what breaks ties,
/// is up to the store. A field given twice is refused; for experiments, where MLflow allows it, the
/// second is dropped, since it cannot change the order.
///
/// Errors: [`Invalid`] in MLflow's words, with a place inside that one key's text.
pub fn parse_order(entity: Entity, keys: &[String]) -> Result<Vec<OrderItem>, Invalid> {
    if keys.len() > MAX_ORDER_KEYS {
        return Err(Invalid::new(format!(
            "The order has {} keys; at most {MAX_ORDER_KEYS} are read",
            keys.len()
        )));
    }
    let mut items = Vec::with_capacity(keys.len());
    let mut seen = HashSet::new();
    for key in keys {
        let item = parse_key(entity, key)?;
        if seen.insert(item.field.clone()) {
            items.push(item);
        } else if entity != Entity::Experiments {
            let written: Vec<_> = keys.iter().map(|key| format!("'{}'", shorten(key))).collect();
            return Err(Invalid::at(
                format!("`order_by` contains duplicate fields: [{}]", written.join(", ")),
                0,
                key.len(),
            ));
        }
    }
    Ok(items)
}

/// The field that logged models are sorted by, from the `field_name` of MLflow's interface: an
/// attribute, or `metrics.` and a key as it is, without quotes.
pub fn logged_model_order_field(field_name: &str) -> Result<Field, Invalid> {
    if field_name.len() > MAX_KEY_BYTES {
        return Err(too_long(field_name));
    }
    rules::logged_model_order(field_name)
        .map_err(|message| Invalid::at(message, 0, field_name.len()))
}

fn parse_key(entity: Entity, key: &str) -> Result<OrderItem, Invalid> {
    if key.len() > MAX_KEY_BYTES {
        return Err(too_long(key));
    }
    let tokens = tokens(key);
    let (name, ascending) = match tokens.as_slice() {
        [name] if is_name(*name) => (*name, true),
        [name, direction] if is_name(*name) && direction.kind == TokenKind::Name => {
            let written = direction.text(key);
            if written.eq_ignore_ascii_case("ASC") {
                (*name, true)
            } else if written.eq_ignore_ascii_case("DESC") {
                (*name, false)
            } else {
                return Err(Invalid::at(
                    format!("Invalid ordering key in order_by clause '{}'.", shorten(key)),
                    direction.span.start,
                    direction.span.end,
                ));
            }
        }
        _ => {
            // Point at what is too much, or at all of it.
            let extra = tokens.iter().find(|token| !is_name(**token)).or(tokens.get(2));
            let (start, end) =
                extra.map_or((0, key.len()), |token| (token.span.start, token.span.end));
            return Err(Invalid::at(
                format!("Invalid order_by clause '{}'. Could not be parsed.", shorten(key)),
                start,
                end,
            ));
        }
    };
    let is_direction = ["ASC", "DESC"].iter().any(|word| name.text(key).eq_ignore_ascii_case(word));
    if is_direction {
        return Err(Invalid::at(
            format!("Invalid order_by clause '{}'. Could not be parsed.", shorten(key)),
            0,
            key.len(),
        ));
    }
    let field = rules::field(entity, Use::Order, name.text(key))
        .map_err(|message| Invalid::at(message, name.span.start, name.span.end))?;
    Ok(OrderItem { field, ascending })
}

fn is_name(token: Token) -> bool {
    matches!(token.kind, TokenKind::Name | TokenKind::Quoted)
}

fn too_long(key: &str) -> Invalid {
    Invalid::at(
        format!("A key of the order has {} bytes; at most {MAX_KEY_BYTES} are read", key.len()),
        0,
        key.len(),
    )
}
