//! How the values of the next trial are chosen.
//!
//! The crate `optimizer` stands behind [`Sampler`], so that another one, or a newer version, changes
//! this file alone.

use std::collections::HashMap;

use optimizer::{
    distribution::{CategoricalDistribution, Distribution, FloatDistribution, IntDistribution},
    param::ParamValue,
    parameter::ParamId,
    sampler::{CompletedTrial, Sampler as _, TpeSampler},
};

use super::{Direction, Method, SweepParam, SweepRequest, TrialParams, Values, number};

/// A trial that has a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Its values.
    pub params: TrialParams,
    /// The goal metric; a trial that was pruned has the value it had then.
    pub value: f64,
}

/// The answer to what comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// The values of the next trial.
    Trial(TrialParams),
    /// There is none left.
    Done,
}

/// Chooses values.
///
/// It keeps nothing between two questions: the same number and the same past give the same values,
/// whatever was asked before. That is what makes a sweep resumable.
pub trait Sampler {
    /// The values of trial `number` (from 1 on), when these trials have results.
    fn ask(&self, number: usize, past: &[Past]) -> Asked;
}

/// The sampler of a request.
pub fn sampler(request: &SweepRequest) -> Box<dyn Sampler> {
    let space = request.space.clone();
    match request.method {
        Method::Grid => Box::new(Grid {
            space: space.iter().map(|p| (p.name.clone(), p.values.grid())).collect(),
        }),
        Method::Random { trials, seed } => Box::new(Random { space, trials, seed }),
        Method::Tpe { trials, seed, startup } => Box::new(Tpe {
            random: Random { space, trials, seed },
            startup,
            direction: request.goal.as_ref().map_or(Direction::Minimize, |goal| goal.direction),
        }),
    }
}

struct Grid {
    space: Vec<(String, Vec<String>)>,
}

impl Sampler for Grid {
    fn ask(&self, number: usize, _past: &[Past]) -> Asked {
        let mut rest = number - 1;
        let mut params = TrialParams::new();
        for (name, values) in self.space.iter().rev() {
            params.insert(name.clone(), values[rest % values.len()].clone());
            rest /= values.len();
        }
        if rest > 0 { Asked::Done } else { Asked::Trial(params) }
    }
}

struct Random {
    space: Vec<SweepParam>,
    trials: usize,
    seed: u64,
}

impl Random {
    /// A generator for one value: neither other parameters nor other trials change what it draws.
    fn generator(&self, number: usize, param: &str) -> fastrand::Rng {
        fastrand::Rng::with_seed(mix(self.seed, number, param))
    }

    fn draw(&self, number: usize, param: &SweepParam) -> String {
        let mut random = self.generator(number, &param.name);
        match &param.values {
            Values::Choice { choices } => choices[random.usize(..choices.len())].clone(),
            Values::Float { low, high, log, .. } => {
                super::number(between(&mut random, *low, *high, *log))
            }
            Values::Int { low, high, log: false, .. } => random.i64(*low..=*high).to_string(),
            Values::Int { low, high, log: true, .. } => {
                // Half a number to either side, so that both bounds get their share.
                let value = between(&mut random, *low as f64 - 0.5, *high as f64 + 0.5, true);
                (value.round() as i64).clamp(*low, *high).to_string()
            }
        }
    }
}

impl Sampler for Random {
    fn ask(&self, number: usize, _past: &[Past]) -> Asked {
        if number > self.trials {
            return Asked::Done;
        }
        Asked::Trial(
            self.space.iter().map(|param| (param.name.clone(), self.draw(number, param))).collect(),
        )
    }
}

fn between(random: &mut fastrand::Rng, low: f64, high: f64, log: bool) -> f64 {
    let share = random.f64();
    let value = if log {
        (low.ln() + share * (high.ln() - low.ln())).exp()
    } else {
        low + share * (high - low)
    };
    value.clamp(low, high)
}

/// FNV-1a over the seed, the trial and the name: the same on every machine and in every version.
fn mix(seed: u64, number: usize, name: &str) -> u64 {
    let bytes = seed.to_le_bytes().into_iter().chain((number as u64).to_le_bytes());
    bytes.chain(name.bytes()).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

struct Tpe {
    random: Random,
    startup: usize,
    direction: Direction,
}

impl Tpe {
    /// One value by `optimizer`'s estimator.
    ///
    /// Each parameter gets a history of its own values alone: the crate finds a parameter in a trial
    /// by its distribution, and two parameters with the same range would be taken for one.
    fn draw(&self, number: usize, param: &SweepParam, past: &[&Past]) -> Option<String> {
        let distribution = match &param.values {
            Values::Choice { choices } => {
                Distribution::Categorical(CategoricalDistribution { n_choices: choices.len() })
            }
            Values::Float { low, high, log, .. } => Distribution::Float(FloatDistribution {
                low: *low,
                high: *high,
                log_scale: *log,
                step: None,
            }),
            Values::Int { low, high, log, .. } => Distribution::Int(IntDistribution {
                low: *low,
                high: *high,
                log_scale: *log,
                step: None,
            }),
        };
        let id = ParamId::new();
        let history: Vec<CompletedTrial> = past
            .iter()
            .enumerate()
            .filter_map(|(at, trial)| {
                let text = trial.params.get(&param.name)?;
                let value = match &param.values {
                    Values::Choice { choices } => {
                        ParamValue::Categorical(choices.iter().position(|choice| choice == text)?)
                    }
                    Values::Float { .. } => ParamValue::Float(text.parse().ok()?),
                    Values::Int { .. } => ParamValue::Int(text.parse().ok()?),
                };
                // The estimator takes small values for good ones.
                let goal = match self.direction {
                    Direction::Minimize => trial.value,
                    Direction::Maximize => -trial.value,
                };
                Some(CompletedTrial::new(
                    at as u64,
                    HashMap::from([(id, value)]),
                    HashMap::from([(id, distribution.clone())]),
                    HashMap::new(),
                    goal,
                ))
            })
            .collect();
        let estimator = TpeSampler::builder()
            .n_startup_trials(2)
            .seed(mix(self.random.seed, number, &param.name))
            .build()
            .ok()?;
        Some(match (estimator.sample(&distribution, number as u64, &history), &param.values) {
            (ParamValue::Categorical(at), Values::Choice { choices }) => choices.get(at)?.clone(),
            (ParamValue::Float(value), Values::Float { low, high, .. }) => {
                number_text(value.clamp(*low, *high))
            }
            (ParamValue::Int(value), Values::Int { low, high, .. }) => {
                value.clamp(*low, *high).to_string()
            }
            _ => return None,
        })
    }
}

fn number_text(value: f64) -> String {
    number(value)
}

impl Sampler for Tpe {
    fn ask(&self, number: usize, past: &[Past]) -> Asked {
        let known: Vec<&Past> = past.iter().filter(|trial| trial.value.is_finite()).collect();
        if number > self.random.trials || known.len() < self.startup.max(2) {
            return self.random.ask(number, past);
        }
        Asked::Trial(
            self.random
                .space
                .iter()
                .map(|param| {
                    let value = self
                        .draw(number, param, &known)
                        .unwrap_or_else(|| self.random.draw(number, param));
                    (param.name.clone(), value)
                })
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{request::RunRequest, sweep::Goal};

    fn request(space: &[&str], method: Method, direction: Direction) -> SweepRequest {
        SweepRequest {
            run: RunRequest::new(".", "/"),
            space: space.iter().map(|text| text.parse().unwrap()).collect(),
            method,
            goal: Some(Goal { metric: "m".to_owned(), direction }),
            prune: None,
            parallel: None,
            resume_run_id: None,
        }
    }

    fn all(request: &SweepRequest, goal: impl Fn(&TrialParams) -> f64) -> Vec<Past> {
        let sampler = sampler(request);
        let mut past = Vec::new();
        while let Asked::Trial(params) = sampler.ask(past.len() + 1, &past) {
            let value = goal(&params);
            past.push(Past { params, value });
        }
        past
    }

    fn get(params: &TrialParams, name: &str) -> f64 {
        params[name].parse().unwrap()
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let past = all(&request(&["a=1..3", "b=x,y"], Method::Grid, Direction::Minimize), |_| 0.0);
        let shown: Vec<String> = past
            .iter()
            .map(|trial| format!("{}{}", trial.params["a"], trial.params["b"]))
            .collect();
        assert_eq!(shown, ["1x", "1y", "2x", "2y", "3x", "3y"]);
    }

    #[test]
    fn random_draws_stay_in_their_bounds_and_repeat() {
        let space = ["lr=log:1e-4..1e-1", "n=2..5", "m=a,b", "k=log:1..1000", "f=-1.5..2.5"];
        let method = Method::Random { trials: 400, seed: 7 };
        let past = all(&request(&space, method, Direction::Minimize), |_| 0.0);
        assert_eq!(past.len(), 400);
        let small = past.iter().filter(|trial| get(&trial.params, "lr") < 1e-2).count();
        assert!((200..330).contains(&small), "{small} of 400 below the second of three decades");
        for trial in &past {
            assert!((1e-4..=1e-1).contains(&get(&trial.params, "lr")));
            assert!((2.0..=5.0).contains(&get(&trial.params, "n")));
            assert!((1.0..=1000.0).contains(&get(&trial.params, "k")));
            assert!((-1.5..=2.5).contains(&get(&trial.params, "f")));
        }
        for value in ["2", "3", "4", "5"] {
            assert!(past.iter().any(|trial| trial.params["n"] == value), "{value}");
        }
        let again = all(&request(&space, method, Direction::Minimize), |_| 0.0);
        assert_eq!(past, again);
    }

    #[test]
    fn tpe_finds_better_values_than_chance() {
        for (direction, sign) in [(Direction::Minimize, 1.0), (Direction::Maximize, -1.0)] {
            let goal = |params: &TrialParams| {
                sign * ((get(params, "x") - 0.3).powi(2)
                    + (get(params, "y") + 0.6).powi(2)
                    + f64::from(params["c"] != "b"))
            };
            // The same range twice: a parameter must not be taken for another one.
            let space = ["x=-1.0..1.0", "y=-1.0..1.0", "c=a,b,c"];
            let mut wins = 0;
            for seed in 0..5 {
                let tpe = Method::Tpe { trials: 60, seed, startup: 10 };
                let random = Method::Random { trials: 60, seed };
                let late = |past: Vec<Past>| {
                    past[30..].iter().map(|trial| sign * trial.value).sum::<f64>() / 30.0
                };
                let with = late(all(&request(&space, tpe, direction), goal));
                let without = late(all(&request(&space, random, direction), goal));
                wins += usize::from(with < without * 0.7);
            }
            assert!(wins >= 4, "{wins} of 5 for {direction:?}");
        }
    }

    #[test]
    fn tpe_answers_the_same_to_the_same_past() {
        let request = request(
            &["x=-1.0..1.0", "n=1..9"],
            Method::Tpe { trials: 30, seed: 3, startup: 5 },
            Direction::Minimize,
        );
        let past = all(&request, |params| get(params, "x").abs());
        // As after a kill: a new sampler, the past read from the store.
        for number in [6, 15, 30] {
            assert_eq!(
                sampler(&request).ask(number, &past[..number - 1]),
                Asked::Trial(past[number - 1].params.clone())
            );
        }
        assert_eq!(sampler(&request).ask(31, &past), Asked::Done);
    }

    #[test]
    fn results_that_are_no_numbers_do_not_count() {
        let request = request(
            &["x=-1.0..1.0"],
            Method::Tpe { trials: 10, seed: 3, startup: 2 },
            Direction::Maximize,
        );
        assert_eq!(all(&request, |_| f64::NAN).len(), 10);
    }
}
