//! What all searches share: the filter, the order, the page.

use cairn_core::filter::{self, Entity, Expr, OrderItem};

use crate::{error::ApiError, fields::Fields, page};

/// The parsed filter and order of a search, and which page of it.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) filter: Option<Expr>,
    pub(crate) order: Vec<OrderItem>,
    pub(crate) max_results: usize,
    pub(crate) offset: usize,
}

impl Search {
    /// Reads `filter`, `order_by`, `page_token`, and the page size by its rule.
    pub(crate) fn read(
        fields: &Fields<'_>,
        entity: Entity,
        default: i64,
        limit: i64,
    ) -> Result<Self, ApiError> {
        let order: Vec<String> = fields.texts("order_by")?.into_iter().map(str::to_owned).collect();
        Ok(Self {
            filter: filter_of(fields, entity)?,
            order: filter::parse_order(entity, &order)?,
            max_results: max_results(fields, default, limit)?,
            offset: page::offset(fields.text("page_token")?)?,
        })
    }
}

/// The parsed `filter` of a search.
pub(crate) fn filter_of(fields: &Fields<'_>, entity: Entity) -> Result<Option<Expr>, ApiError> {
    match fields.text("filter")? {
        None => Ok(None),
        Some(text) => Ok(filter::parse(entity, text)?),
    }
}

/// The page size: `default` when absent, otherwise from 1 to `limit`.
pub(crate) fn max_results(
    fields: &Fields<'_>,
    default: i64,
    limit: i64,
) -> Result<usize, ApiError> {
    page_size(fields.int("max_results")?, default, limit)
}

/// Checks a page size: `default` when absent, otherwise from 1 to `limit`.
pub(crate) fn page_size(given: Option<i64>, default: i64, limit: i64) -> Result<usize, ApiError> {
    let given = given.unwrap_or(default);
    if given < 1 {
        return Err(ApiError::invalid(format!(
            "Invalid value {given} for parameter 'max_results' supplied: It must be a positive \
             integer."
        )));
    }
    if given > limit {
        return Err(ApiError::invalid(format!(
            "Invalid value {given} for parameter 'max_results' supplied: It must be at most \
             {limit}."
        )));
    }
    Ok(given as usize)
}
