//! Which repositories a pass looks at.

use jitgate::github::{Covered, REPOSITORIES_A_PAGE};

use super::*;

fn covered(number: usize, pushed_ago: Option<Duration>) -> (usize, Covered) {
    let name = format!("r{number}");
    let place = Place {
        scope: Scope::Repository { owner: "octo-org".to_owned(), name: name.clone() },
        account: place(Vec::new()).place.account,
    };
    (number, Covered { place, name, pushed_at: pushed_ago.map(|ago| NOW - ago) })
}

#[test]
fn the_latest_pushes_come_first_and_old_ones_not_at_all() {
    let hours = |hours| Some(Duration::hours(hours));
    let known = [covered(1, hours(5)), covered(2, hours(24)), covered(3, None), covered(4, hours(1))];
    let names =
        |known: &[(usize, Covered)]| pushed(NOW, known).iter().map(|each| each.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&known), ["r4", "r1"]);
    let many: Vec<_> =
        (0..300).map(|number| covered(number, Some(Duration::minutes(300 - i64::try_from(number).unwrap())))).collect();
    assert_eq!((names(&many).len(), names(&many)[0].as_str()), (MOST_PUSHED, "r299"));
}

#[test]
fn of_so_many_repositories_each_has_its_turn_within_so_many_hours() {
    let hours = |total: usize| (PASS_INTERVAL * i32::try_from(total.div_ceil(IN_TURN)).unwrap()).whole_minutes();
    assert_eq!((hours(40), hours(1_100), hours(10_000)), (5, 140, 1_250));
}

proptest! {
    #[test]
    fn each_repository_has_its_turn_and_its_page_is_read_then(first in 0..1_000_000_usize, total in 0..12_000_usize) {
        let passes = first..first + total.div_ceil(IN_TURN).max(1);
        let mut seen = vec![false; total];
        for pass in passes {
            let turn = turn(pass, total);
            prop_assert!(turn.len() <= IN_TURN);
            let read = pages(pass, total);
            prop_assert!(read.len() < MOST_PAGES && read.iter().all(|page| *page <= total.div_ceil(REPOSITORIES_A_PAGE)));
            for position in turn {
                let page = position / REPOSITORIES_A_PAGE + 1;
                prop_assert!(page == 1 || read.contains(&page), "position {position} of {total}: {read:?}");
                seen[position] = true;
            }
        }
        prop_assert!(seen.into_iter().all(|seen| seen));
    }

    #[test]
    fn each_page_is_read_in_turn(first in 0..1_000_000_usize, last in 1..120_usize) {
        let total = last * REPOSITORIES_A_PAGE;
        let read: HashSet<_> = (first..first + 2 * last).flat_map(|pass| pages(pass, total)).collect();
        prop_assert!((2..=last).all(|page| read.contains(&page)), "{read:?} of {last}");
    }
}
