//! Names for runs whose makers gave none.

/// A name like `quiet-heron-7`, chosen by one random number; the same number gives the same name.
///
/// There are about two million, so names repeat in a large store; MLflow allows that.
pub fn generate_run_name(random: u64) -> String {
    let (rest, adjective) = pick(random, ADJECTIVES);
    let (rest, noun) = pick(rest, NOUNS);
    let number = rest % 999 + 1;
    format!("{adjective}-{noun}-{number}")
}

/// Takes the choice of one word out of a random number; the first part is what is left of it.
fn pick(random: u64, words: &[&'static str]) -> (u64, &'static str) {
    let count = words.len() as u64;
    (random / count, words[(random % count) as usize])
}

#[rustfmt::skip]
const ADJECTIVES: &[&str] = &[
    "amber", "ancient", "autumn", "brave", "bright", "brisk", "calm", "clear", "copper", "crisp",
    "dappled", "dusky", "early", "eager", "fern", "frosty", "gentle", "gilded", "golden", "grassy",
    "hazy", "hidden", "hushed", "keen", "lively", "lofty", "lucid", "mellow", "misty", "mossy",
    "nimble", "northern", "patient", "polished", "quiet", "rugged", "russet", "silver", "steady",
    "sunlit", "swift", "tidal", "tranquil", "upland", "velvet", "wandering", "windy", "winter",
];

#[rustfmt::skip]
const NOUNS: &[&str] = &[
    "agate", "alder", "badger", "basalt", "beech", "boulder", "brook", "cedar", "cliff", "cobble",
    "curlew", "delta", "dune", "egret", "falcon", "fjord", "flint", "gneiss", "granite", "grove",
    "hare", "heath", "heron", "ibex", "jasper", "kestrel", "lagoon", "larch", "lichen", "marble",
    "marmot", "marten", "meadow", "obsidian", "osprey", "otter", "pebble", "plover", "quartz",
    "raven", "ridge", "sandstone", "scree", "shale", "slate", "tarn", "thicket", "wren",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_number_gives_the_same_name() {
        assert_eq!(generate_run_name(0), "amber-agate-1");
        assert_eq!(generate_run_name(34 + 48 * (22 + 48 * 6)), "quiet-heron-7");
        assert_eq!(generate_run_name(u64::MAX), generate_run_name(u64::MAX));
    }

    #[test]
    fn every_name_has_three_parts_and_many_differ() {
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        let names: HashSet<_> =
            (0..10_000).map(|turn: u64| generate_run_name(turn.wrapping_mul(step))).collect();
        assert!(names.len() > 9_900, "{}", names.len());
        for name in names {
            let parts: Vec<_> = name.split('-').collect();
            let [adjective, noun, number] = parts[..] else { panic!("{name}") };
            assert!(ADJECTIVES.contains(&adjective) && NOUNS.contains(&noun), "{name}");
            assert!((1..1_000).contains(&number.parse::<u32>().unwrap()), "{name}");
        }
    }

    #[test]
    fn no_word_is_listed_twice() {
        for words in [ADJECTIVES, NOUNS] {
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
            assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
        }
    }
}
