use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Every kind of thing that a launch can meet, with both sides of each bound.
fn everything() -> Vec<Met> {
    let seconds = Duration::seconds;
    vec![
        Met::Nothing,
        Met::NameTaken,
        Met::NoTaskOfName(1),
        Met::NoTaskOfName(MOST_SPARES),
        Met::NoTaskOfName(MOST_SPARES + 1),
        Met::Registered,
        Met::Accepted,
        Met::TokenTaken,
        Met::Withdrawn,
        Met::NotStarted,
        Met::Unanswered,
        Met::TaskHidden(0),
        Met::TaskHidden(MOST_DOUBTS - 1),
        Met::TaskHidden(MOST_DOUBTS),
        Met::TaskOver,
        Met::TaskAlive,
        Met::TaskUntagged,
        Met::RegistrationShown,
        Met::RegistrationHidden(None),
        Met::RegistrationHidden(Some(SHOWN_AFTER - seconds(1))),
        Met::RegistrationHidden(Some(SHOWN_AFTER)),
        Met::JobWaits,
        Met::JobGone,
        Met::RegistrationBusy,
        Met::RegistrationDeleted,
        Met::TaskStopped,
    ]
}

fn name(debug: &impl std::fmt::Debug) -> String {
    let text = format!("{debug:?}");
    text.split(['(', ',', ' ']).next().unwrap_or_default().to_owned()
}

fn in_the_tables_words(step: Step) -> String {
    match step {
        Step::Do(action) => name(&action),
        Step::End(ending, _) => format!("End({})", name(&ending)),
        Step::Fail(failure) => format!("Fail({})", name(&failure)),
    }
}

#[test]
fn the_table_is_the_protocol() {
    let rows: Vec<_> = include_str!("../protocol.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("/// | `"))
        .map(|row| row.split('|').map(str::trim).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let documented: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let mut kinds: Vec<_> = everything().iter().map(name).collect();
    kinds.dedup();
    assert_eq!(documented, kinds);
    for row in &rows {
        let steps: Vec<_> = row[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let met = everything().into_iter().filter(|met| name(met) == row[0].trim_matches('`'));
        let mut taken: Vec<_> = met.map(|met| in_the_tables_words(step(met))).collect();
        taken.dedup();
        assert_eq!(taken, steps, "{}", row[0]);
    }
}

#[test]
fn each_bound_is_where_the_table_puts_it() {
    let seconds = |age| Met::RegistrationHidden(Some(Duration::seconds(age)));
    assert_eq!(step(Met::NoTaskOfName(25)), Step::Do(Action::Register(25)), "the 26th name");
    assert_eq!(step(Met::NoTaskOfName(26)), Step::Fail(Failure::NoNameLeft));
    assert_eq!(step(Met::TaskHidden(1)), Step::Fail(Failure::Unsure), "the second time");
    assert_eq!(step(Met::TaskHidden(2)), Step::End(Ending::Over, TakeBack::AllBut(Spared::None)));
    assert_eq!(step(seconds(59)), Step::Fail(Failure::Unsure));
    assert_eq!(step(seconds(60)), Step::Do(Action::AskAboutJob));
    assert_eq!(step(Met::RegistrationHidden(None)), Step::Fail(Failure::Unsure), "the age is not known");
}

/// A launch's registrations and its task, as they really are.
#[derive(Clone, Debug, Default)]
struct Truth {
    /// By name, the id of the registration that has it.
    names: Vec<Option<u32>>,
    /// The task, if one has the token: the name and id of its registration, and whether it is over.
    task: Option<((usize, u32), bool)>,
    /// How many tasks were started for the token.
    started: usize,
}

/// The id of the registration that the launch makes; those that were there before have the number of their names.
const OURS: u32 = 1000;

impl Truth {
    fn has(&self, (name, id): (usize, u32)) -> bool {
        self.names[name] == Some(id)
    }

    fn task_is_registered(&self) -> bool {
        self.task.is_some_and(|(own, is_over)| !is_over && self.has(own))
    }
}

/// What the world answers when nothing in it is certain: each observation may lag.
struct Adversary {
    truth: Truth,
    registered: Option<(usize, u32)>,
    taken: Vec<usize>,
    doubts: u32,
}

impl Adversary {
    /// Does an action and says what it met; `choice` decides where more than one answer is possible.
    fn act(&mut self, action: Action, choice: Index) -> Met {
        let pick = |options: &[Met]| options[choice.index(options.len())];
        match action {
            Action::Register(spare) => {
                let spare = usize::from(spare);
                if self.truth.names[spare].is_some() {
                    self.taken.push(spare);
                    return Met::NameTaken;
                }
                self.truth.names[spare] = Some(OURS);
                self.registered = Some((spare, OURS));
                Met::Registered
            }
            Action::FindTask => {
                let none = Met::NoTaskOfName(u8::try_from(self.taken.len()).expect("few names"));
                match self.truth.task {
                    Some((_, false)) => pick(&[none, Met::TaskAlive, Met::TaskUntagged]),
                    _ => none,
                }
            }
            Action::Start => {
                if self.truth.task.is_some() {
                    return pick(&[Met::TokenTaken, Met::NotStarted, Met::Unanswered]);
                }
                let met = pick(&[Met::Accepted, Met::NotStarted, Met::Unanswered]);
                if met == Met::Accepted {
                    self.truth.started += 1;
                    self.truth.task = Some((self.registered.expect("registered"), false));
                }
                met
            }
            Action::Withdraw => {
                self.truth.names[self.registered.expect("registered").0] = None;
                Met::Withdrawn
            }
            Action::LookAtTask => match self.truth.task {
                Some((_, true)) => pick(&[Met::TaskHidden(self.doubts), Met::TaskOver]),
                _ => pick(&[Met::TaskHidden(self.doubts.min(MOST_DOUBTS - 1)), Met::TaskAlive, Met::TaskUntagged]),
            },
            Action::LookAtRegistration => {
                let old = Met::RegistrationHidden(Some(SHOWN_AFTER));
                let young = Met::RegistrationHidden(Some(Duration::ZERO));
                match self.truth.task {
                    // GitHub may fail to show one that exists, whatever its age.
                    Some((own, false)) if self.truth.has(own) => pick(&[Met::RegistrationShown, young, old]),
                    _ => pick(&[young, old]),
                }
            }
            Action::AskAboutJob => pick(&[Met::JobWaits, Met::JobGone]),
            Action::DeleteRegistration => match self.truth.task {
                // It exists, so its runner may be busy; GitHub refuses.
                Some((own, false)) if self.truth.has(own) => Met::RegistrationBusy,
                _ => Met::RegistrationDeleted,
            },
            Action::StopTask => {
                self.truth.task = self.truth.task.map(|(own, _)| (own, true));
                Met::TaskStopped
            }
        }
    }

    fn take_back(&mut self, what: TakeBack) {
        let TakeBack::AllBut(spared) = what else { return };
        let spared = match spared {
            Spared::OurOwn => self.registered,
            Spared::TheTasks => self.truth.task.map(|(own, _)| own),
            Spared::None => None,
        };
        for (name, id) in self.truth.names.iter_mut().enumerate() {
            *id = id.filter(|id| Some((name, *id)) == spared);
        }
    }
}

proptest! {
    #[test]
    fn a_launch_ends_starts_one_task_and_spares_the_registration_that_a_live_task_runs(
        names in proptest::collection::vec(any::<bool>(), usize::from(MOST_SPARES) + 1),
        task in proptest::option::of((0..=usize::from(MOST_SPARES), any::<bool>())),
        is_registered in any::<bool>(),
        doubts in 0..4_u32,
        choices in proptest::collection::vec(any::<Index>(), 100),
    ) {
        let id = |name: usize| u32::try_from(name).expect("few names");
        let names = names.into_iter().enumerate().map(|(name, exists)| exists.then(|| id(name))).collect();
        let task = task.map(|(own, is_over)| ((own, id(own)), is_over));
        let mut truth = Truth { names, task, started: usize::from(task.is_some()) };
        if let Some(((own, id), _)) = truth.task {
            truth.names[own] = is_registered.then_some(id);
        }
        let mut world = Adversary { truth, registered: None, taken: Vec::new(), doubts };
        let (mut met, mut steps) = (Met::Nothing, choices.iter());
        let last = loop {
            let before = world.truth.task_is_registered();
            match step(met) {
                Step::Do(action) => {
                    let choice = steps.next();
                    prop_assert!(choice.is_some(), "a launch ends within a hundred steps");
                    met = world.act(action, *choice.expect("just tested"));
                }
                last => {
                    if let Step::End(_, take_back) = last {
                        world.take_back(take_back);
                    }
                    prop_assert!(!before || world.truth.task_is_registered(), "{last:?} took a live task's registration");
                    break last;
                }
            }
            prop_assert!(!before || world.truth.task_is_registered() || met == Met::TaskStopped, "{met:?}");
            prop_assert!(world.truth.started <= 1, "two tasks of one token");
        };
        if let Step::End(Ending::Launched, _) = last {
            prop_assert!(world.truth.task_is_registered(), "a launched task has its registration");
        }
        if let Step::End(Ending::Over, _) = last {
            prop_assert!(world.truth.task.is_none_or(|(_, is_over)| is_over), "the next attempt beside a live task");
        }
    }
}
