//! The registry against a plain model of it: random sequences, and threads at once.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use cairn_faults::Disk;
use cairn_store::{
    Store, StoreError,
    experiments::Tag,
    registry::{NewModelVersion, NewRegisteredModel, Stage},
};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::{Journal, make_store, open, scaled};

/// Random sequences of up to fifty operations.
const SEQUENCES: u32 = 400;
/// Histories of four threads.
const HISTORIES: usize = 60;
const NAMES: [&str; 3] = ["a", "b", "c"];
const ALIASES: [&str; 2] = ["champion", "challenger"];
const KEYS: [&str; 2] = ["team", "task"];

/// What the registry should hold.
#[derive(Debug, Clone, Default)]
struct Registry {
    models: BTreeMap<&'static str, Model>,
    /// How the last operation should have ended.
    outcome: Outcome,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    description: String,
    tags: BTreeMap<String, String>,
    aliases: BTreeMap<String, i64>,
    versions: BTreeMap<i64, Version>,
    /// Numbers given so far, those of removed versions included.
    given: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    stage: &'static str,
    description: String,
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Outcome {
    #[default]
    Done,
    /// The number of the new version.
    Made(i64),
    NotFound,
    AlreadyExists,
    Invalid,
}

#[derive(Debug, Clone)]
enum Operation {
    CreateModel(&'static str),
    RenameModel(&'static str, &'static str),
    DeleteModel(&'static str),
    DescribeModel(&'static str, String),
    TagModel(&'static str, &'static str, String),
    UntagModel(&'static str, &'static str),
    CreateVersion(&'static str, String),
    DeleteVersion(&'static str, i64),
    DescribeVersion(&'static str, i64, String),
    StageVersion(&'static str, i64, Stage, bool),
    TagVersion(&'static str, i64, &'static str, String),
    UntagVersion(&'static str, i64, &'static str),
    SetAlias(&'static str, &'static str, i64),
    DeleteAlias(&'static str, &'static str),
}

impl Registry {
    fn model(&mut self, name: &str) -> Result<&mut Model, Outcome> {
        self.models.get_mut(name).ok_or(Outcome::NotFound)
    }

    fn version(&mut self, name: &str, version: i64) -> Result<&mut Version, Outcome> {
        self.model(name)?.versions.get_mut(&version).ok_or(Outcome::NotFound)
    }

    fn try_apply(&mut self, operation: &Operation) -> Result<Outcome, Outcome> {
        use Operation as Op;
        match operation {
            Op::CreateModel(name) => {
                if self.models.contains_key(name) {
                    return Err(Outcome::AlreadyExists);
                }
                self.models.insert(name, Model::default());
            }
            Op::RenameModel(name, new_name) => {
                self.model(name)?;
                if name != new_name && self.models.contains_key(new_name) {
                    return Err(Outcome::AlreadyExists);
                }
                let model = self.models.remove(name).expect("looked up");
                self.models.insert(new_name, model);
            }
            Op::DeleteModel(name) => {
                self.model(name)?;
                self.models.remove(name);
            }
            Op::DescribeModel(name, text) => self.model(name)?.description.clone_from(text),
            Op::TagModel(name, key, value) => {
                self.model(name)?.tags.insert((*key).to_owned(), value.clone());
            }
            Op::UntagModel(name, key) => {
                self.model(name)?.tags.remove(*key);
            }
            Op::CreateVersion(name, value) => {
                let model = self.model(name)?;
                model.given += 1;
                let tags = BTreeMap::from([(KEYS[0].to_owned(), value.clone())]);
                let version = Version { stage: "None", description: String::new(), tags };
                model.versions.insert(model.given, version);
                return Ok(Outcome::Made(model.given));
            }
            Op::DeleteVersion(name, version) => {
                self.version(name, *version)?;
                let model = self.model(name)?;
                model.versions.remove(version);
                model.aliases.retain(|_, target| target != version);
            }
            Op::DescribeVersion(name, version, text) => {
                self.version(name, *version)?.description.clone_from(text);
            }
            Op::StageVersion(name, version, stage, archive) => {
                if *archive && !matches!(stage, Stage::Staging | Stage::Production) {
                    return Err(Outcome::Invalid);
                }
                self.version(name, *version)?;
                for (number, other) in &mut self.model(name)?.versions {
                    if *archive && number != version && other.stage == stage.as_str() {
                        other.stage = "Archived";
                    }
                }
                self.version(name, *version)?.stage = stage.as_str();
            }
            Op::TagVersion(name, version, key, value) => {
                self.version(name, *version)?.tags.insert((*key).to_owned(), value.clone());
            }
            Op::UntagVersion(name, version, key) => {
                self.version(name, *version)?.tags.remove(*key);
            }
            Op::SetAlias(name, alias, version) => {
                self.version(name, *version)?;
                self.model(name)?.aliases.insert((*alias).to_owned(), *version);
            }
            Op::DeleteAlias(name, alias) => {
                self.model(name)?.aliases.remove(*alias);
            }
        }
        Ok(Outcome::Done)
    }
}

impl ReferenceStateMachine for Registry {
    type State = Self;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Operation> {
        use Operation as Op;
        let name = || prop::sample::select(&NAMES[..]);
        let alias = || prop::sample::select(&ALIASES[..]);
        let key = || prop::sample::select(&KEYS[..]);
        let stage = || prop::sample::select(&Stage::ALL[..]);
        let text = || "[a-z'é%_\"]{0,6}";
        let version = || 1..6_i64;
        prop_oneof![
            4 => name().prop_map(Op::CreateModel),
            1 => (name(), name()).prop_map(|(name, new)| Op::RenameModel(name, new)),
            1 => name().prop_map(Op::DeleteModel),
            1 => (name(), text()).prop_map(|(name, text)| Op::DescribeModel(name, text)),
            2 => (name(), key(), text()).prop_map(|(name, key, v)| Op::TagModel(name, key, v)),
            1 => (name(), key()).prop_map(|(name, key)| Op::UntagModel(name, key)),
            8 => (name(), text()).prop_map(|(name, value)| Op::CreateVersion(name, value)),
            2 => (name(), version()).prop_map(|(name, v)| Op::DeleteVersion(name, v)),
            1 => (name(), version(), text()).prop_map(|(n, v, t)| Op::DescribeVersion(n, v, t)),
            4 => (name(), version(), stage(), any::<bool>())
                .prop_map(|(name, v, stage, archive)| Op::StageVersion(name, v, stage, archive)),
            2 => (name(), version(), key(), text())
                .prop_map(|(name, v, key, value)| Op::TagVersion(name, v, key, value)),
            1 => (name(), version(), key()).prop_map(|(n, v, k)| Op::UntagVersion(n, v, k)),
            5 => (name(), alias(), version()).prop_map(|(n, a, v)| Op::SetAlias(n, a, v)),
            1 => (name(), alias()).prop_map(|(name, alias)| Op::DeleteAlias(name, alias)),
        ]
        .boxed()
    }

    fn apply(mut state: Self, operation: &Operation) -> Self {
        let (Ok(outcome) | Err(outcome)) = state.try_apply(operation);
        state.outcome = outcome;
        state
    }
}

/// The store, with models of its own for each sequence.
struct Tested {
    store: Store,
    sequence: u64,
}

impl Tested {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { store: shared_store(), sequence: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    fn name(&self, name: &str) -> String {
        format!("{} {name}", self.sequence)
    }

    fn apply(&self, operation: Operation) -> Result<Outcome, StoreError> {
        use Operation as Op;
        let name = |name: &str| self.name(name);
        let store = &self.store;
        let done = |()| Outcome::Done;
        match operation {
            Op::CreateModel(model) => {
                let new = NewRegisteredModel { name: name(model), ..NewRegisteredModel::default() };
                store.write_blocking(move |tx| tx.create_registered_model(&new).map(drop)).map(done)
            }
            Op::RenameModel(model, new) => {
                let (model, new) = (name(model), name(new));
                store
                    .write_blocking(move |tx| tx.rename_registered_model(&model, &new).map(drop))
                    .map(done)
            }
            Op::DeleteModel(model) => {
                let model = name(model);
                store.write_blocking(move |tx| tx.delete_registered_model(&model)).map(done)
            }
            Op::DescribeModel(model, text) => {
                let model = name(model);
                store
                    .write_blocking(move |tx| {
                        tx.update_registered_model(&model, Some(&text)).map(drop)
                    })
                    .map(done)
            }
            Op::TagModel(model, key, value) => {
                let (model, tag) = (name(model), tag(key, value));
                store.write_blocking(move |tx| tx.set_registered_model_tag(&model, &tag)).map(done)
            }
            Op::UntagModel(model, key) => {
                let model = name(model);
                store
                    .write_blocking(move |tx| tx.delete_registered_model_tag(&model, key))
                    .map(done)
            }
            Op::CreateVersion(model, value) => {
                let new = new_version(name(model), tag(KEYS[0], value));
                let made = store.write_blocking(move |tx| tx.create_model_version(&new))?;
                Ok(Outcome::Made(made.version))
            }
            Op::DeleteVersion(model, version) => {
                let model = name(model);
                store.write_blocking(move |tx| tx.delete_model_version(&model, version)).map(done)
            }
            Op::DescribeVersion(model, version, text) => {
                let model = name(model);
                store
                    .write_blocking(move |tx| {
                        tx.update_model_version(&model, version, Some(&text)).map(drop)
                    })
                    .map(done)
            }
            Op::StageVersion(model, version, stage, archive) => {
                let model = name(model);
                store
                    .write_blocking(move |tx| {
                        tx.transition_model_version(&model, version, stage, archive).map(drop)
                    })
                    .map(done)
            }
            Op::TagVersion(model, version, key, value) => {
                let (model, tag) = (name(model), tag(key, value));
                store
                    .write_blocking(move |tx| tx.set_model_version_tag(&model, version, &tag))
                    .map(done)
            }
            Op::UntagVersion(model, version, key) => {
                let model = name(model);
                store
                    .write_blocking(move |tx| tx.delete_model_version_tag(&model, version, key))
                    .map(done)
            }
            Op::SetAlias(model, alias, version) => {
                let model = name(model);
                store.write_blocking(move |tx| tx.set_model_alias(&model, alias, version)).map(done)
            }
            Op::DeleteAlias(model, alias) => {
                let model = name(model);
                store.write_blocking(move |tx| tx.delete_model_alias(&model, alias)).map(done)
            }
        }
    }

    /// What the store holds under a name of the model's.
    fn read(&self, name: &str, given: i64) -> Option<Model> {
        let name = self.name(name);
        self.store
            .read_blocking(|tx| {
                let found = match tx.registered_model(&name) {
                    Ok(found) => found,
                    Err(StoreError::NotFound(_)) => return Ok(None),
                    Err(error) => return Err(error),
                };
                let mut versions = BTreeMap::new();
                // One more than should be there.
                for version in 1..=given + 1 {
                    match tx.model_version(&name, version) {
                        Ok(found) => {
                            versions.insert(
                                version,
                                Version {
                                    stage: found.stage.as_str(),
                                    description: found.description.unwrap_or_default(),
                                    tags: map(found.tags),
                                },
                            );
                        }
                        Err(StoreError::NotFound(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                let aliases = found.aliases.into_iter().map(|alias| (alias.alias, alias.version));
                Ok(Some(Model {
                    description: found.description.unwrap_or_default(),
                    tags: map(found.tags),
                    aliases: aliases.collect(),
                    versions,
                    given,
                }))
            })
            .unwrap()
    }
}

impl StateMachineTest for Tested {
    type SystemUnderTest = Self;
    type Reference = Registry;

    fn init_test(_: &Registry) -> Self {
        Self::new()
    }

    fn apply(tested: Self, expected: &Registry, operation: Operation) -> Self {
        let outcome = match tested.apply(operation) {
            Ok(outcome) => outcome,
            Err(StoreError::NotFound(_)) => Outcome::NotFound,
            Err(StoreError::AlreadyExists(_)) => Outcome::AlreadyExists,
            Err(StoreError::Invalid(_)) => Outcome::Invalid,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(outcome, expected.outcome);
        tested
    }

    fn check_invariants(tested: &Self, expected: &Registry) {
        for name in NAMES {
            let model = expected.models.get(name);
            let found = tested.read(name, model.map_or(0, |model| model.given));
            assert_eq!(found.as_ref(), model);
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: scaled(SEQUENCES as usize) as u32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_leaves_what_the_model_says(sequential 1..50 => Tested);
}

/// One operation of a thread, with what it was answered.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A version was made and got this number.
    Create(i64),
    /// The alias was moved to a version; `false` when there was none.
    Move(i64, bool),
    /// The alias was read.
    Read(Option<i64>),
}

#[derive(Debug, Clone, Copy)]
struct Timed {
    began: u64,
    ended: u64,
    event: Event,
}

/// Aliases move at one moment and version numbers are given once and without a gap: each history of
/// four threads is one that a single thread could have had, in an order that contradicts no clock.
#[test]
fn threads_see_one_order_of_versions_and_aliases() {
    for history in 0..scaled(HISTORIES) {
        let tested = Tested::new();
        assert_eq!(tested.apply(Operation::CreateModel("a")).unwrap(), Outcome::Done);
        let clock = AtomicU64::new(0);
        let threads: Mutex<Vec<Vec<Timed>>> = Mutex::default();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (tested, clock, threads) = (&tested, &clock, &threads);
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(history as u64 * 4 + thread);
                    let timed = (0..12).map(|_| tested.timed(&mut rng, clock)).collect();
                    threads.lock().unwrap().push(timed);
                });
            }
        });
        let threads = threads.into_inner().unwrap();
        assert!(has_one_order(&threads), "{threads:#?}");
    }
}

#[test]
fn histories_that_no_single_thread_could_have_are_told_apart() {
    let timed = |began, ended, event| Timed { began, ended, event };
    let check = |threads: &[Vec<Timed>], expected: bool| {
        assert_eq!(has_one_order(threads), expected, "{threads:?}");
    };
    let create = vec![timed(0, 1, Event::Create(1)), timed(4, 5, Event::Move(1, true))];
    check(&[create.clone(), vec![timed(2, 3, Event::Create(2))]], true);
    // A number given twice, a gap, a read of what was not yet, a read of what is no more.
    check(&[create.clone(), vec![timed(2, 3, Event::Create(1))]], false);
    check(&[create.clone(), vec![timed(2, 3, Event::Create(3))]], false);
    check(&[create.clone(), vec![timed(2, 3, Event::Read(Some(1)))]], false);
    check(&[create.clone(), vec![timed(2, 6, Event::Read(Some(1)))]], true);
    check(&[create, vec![timed(6, 7, Event::Read(None))]], false);
}

impl Tested {
    fn timed(&self, rng: &mut fastrand::Rng, clock: &AtomicU64) -> Timed {
        let began = clock.fetch_add(1, Ordering::SeqCst);
        let event = match rng.u8(..4) {
            0 => match self.apply(Operation::CreateVersion("a", String::new())).unwrap() {
                Outcome::Made(version) => Event::Create(version),
                other => panic!("{other:?}"),
            },
            1 => {
                let version = rng.i64(1..8);
                match self.apply(Operation::SetAlias("a", ALIASES[0], version)) {
                    Ok(_) => Event::Move(version, true),
                    Err(StoreError::NotFound(_)) => Event::Move(version, false),
                    Err(other) => panic!("{other}"),
                }
            }
            _ => {
                let name = self.name("a");
                let read = self.store.read_blocking(|tx| tx.registered_model(&name)).unwrap();
                Event::Read(read.aliases.first().map(|alias| alias.version))
            }
        };
        Timed { began, ended: clock.fetch_add(1, Ordering::SeqCst), event }
    }
}

/// Whether one order of all operations explains what each was answered, in which no operation comes
/// before one that had ended when it began.
fn has_one_order(threads: &[Vec<Timed>]) -> bool {
    let mut tried = HashSet::new();
    let mut open = vec![(vec![0; threads.len()], 0, None)];
    while let Some((done, given, alias)) = open.pop() {
        if !tried.insert((done.clone(), given, alias)) {
            continue;
        }
        let next = || threads.iter().zip(&done).filter_map(|(ops, at)| ops.get(*at));
        let Some(first_end) = next().map(|timed| timed.ended).min() else { return true };
        for (thread, ops) in threads.iter().enumerate() {
            let Some(timed) = ops.get(done[thread]).filter(|timed| timed.began < first_end) else {
                continue;
            };
            let after = match timed.event {
                Event::Create(version) if version == given + 1 => Some((version, alias)),
                Event::Move(version, true) if version <= given => Some((given, Some(version))),
                Event::Move(version, false) if version > given => Some((given, alias)),
                Event::Read(read) if read == alias => Some((given, alias)),
                _ => None,
            };
            if let Some((given, alias)) = after {
                let mut done = done.clone();
                done[thread] += 1;
                open.push((done, given, alias));
            }
        }
    }
    false
}

/// One store for all sequences, on a disk that is not waited for.
fn shared_store() -> Store {
    static STORE: OnceLock<(tempfile::TempDir, Disk, Store)> = OnceLock::new();
    let (_, _, store) = STORE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        make_store(dir.path(), Journal::Wal);
        let disk = Disk::watch(dir.path());
        disk.stop_recording();
        let store = open(dir.path());
        (dir, disk, store)
    });
    store.clone()
}

fn new_version(name: String, tag: Tag) -> NewModelVersion {
    let source = "s3://bucket/model".to_owned();
    NewModelVersion { name, source, tags: vec![tag], ..NewModelVersion::default() }
}

fn tag(key: &str, value: String) -> Tag {
    Tag { key: key.to_owned(), value }
}

fn map(tags: Vec<Tag>) -> BTreeMap<String, String> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}
