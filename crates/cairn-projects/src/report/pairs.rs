//! Which child of the original belongs to which child of the rerun.

use std::collections::BTreeMap;

use super::{Ids, facts::RunFacts};

/// Two runs that did the same work, or one that is alone.
pub(super) struct Pair<'a> {
    pub label: String,
    pub original: Option<&'a RunFacts>,
    pub rerun: Option<&'a RunFacts>,
}

/// The two runs, then their children, parents before children.
///
/// Children have no name that both sides share, so they are paired by what they did: the same entry
/// point with the same parameters first, then the same entry point, then any, in order of start. Ids of
/// siblings in parameters (`data=…/<run id>/artifacts/x`) do not count as a difference.
pub(super) fn pair<'a>(original: &'a RunFacts, rerun: &'a RunFacts, ids: &Ids) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    walk(String::new(), original, rerun, ids, &mut pairs);
    pairs
}

fn walk<'a>(
    label: String,
    original: &'a RunFacts,
    rerun: &'a RunFacts,
    ids: &Ids,
    pairs: &mut Vec<Pair<'a>>,
) {
    let below = |name: String| if label.is_empty() { name } else { format!("{label} / {name}") };
    let mut mates: Vec<Option<usize>> = vec![None; original.children.len()];
    let mut taken = vec![false; rerun.children.len()];
    let params = |run: &RunFacts, mask: &dyn Fn(&str) -> String| -> BTreeMap<String, String> {
        run.params.iter().map(|(name, value)| (name.clone(), mask(value))).collect()
    };
    let original_params: Vec<_> = original
        .children
        .iter()
        .map(|run| params(run, &|text| ids.param_of_original(text)))
        .collect();
    let rerun_params: Vec<_> =
        rerun.children.iter().map(|run| params(run, &|text| ids.param_of_rerun(text))).collect();
    // At last whoever is left, in order: a folder may have another name in a restored copy.
    for (by_what, by_params) in [(true, true), (true, false), (false, false)] {
        for (at, child) in original.children.iter().enumerate() {
            if mates[at].is_some() {
                continue;
            }
            let mate = rerun.children.iter().enumerate().position(|(other, candidate)| {
                !taken[other]
                    && (!by_what || candidate.what() == child.what())
                    && (!by_params || rerun_params[other] == original_params[at])
            });
            if let Some(mate) = mate {
                taken[mate] = true;
                mates[at] = Some(mate);
            }
        }
    }
    pairs.push(Pair { label: label.clone(), original: Some(original), rerun: Some(rerun) });
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut name = |run: &'a RunFacts| {
        let number = seen.entry(run.what()).or_default();
        *number += 1;
        if *number == 1 { run.what().to_owned() } else { format!("{} {number}", run.what()) }
    };
    for (child, mate) in original.children.iter().zip(mates) {
        let label = below(name(child));
        match mate {
            Some(mate) => walk(label, child, &rerun.children[mate], ids, pairs),
            None => pairs.push(Pair { label, original: Some(child), rerun: None }),
        }
    }
    for (child, _) in rerun.children.iter().zip(taken).filter(|(_, taken)| !taken) {
        pairs.push(Pair { label: below(name(child)), original: None, rerun: Some(child) });
    }
}
