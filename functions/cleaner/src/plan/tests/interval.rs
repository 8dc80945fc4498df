//! Taking turns.

use super::*;

#[test]
fn each_pass_begins_about_a_third_of_the_list_further_on() {
    let first = |pass| {
        let mut list: Vec<_> = (0..100).collect();
        rotate(OffsetDateTime::UNIX_EPOCH + PASS_INTERVAL * pass, &mut list);
        list[0]
    };
    assert_eq!([0, 1, 2, 3].map(first), [0, 37, 74, 11]);
    assert_eq!([1, 2, 3, 7].map(|len| beginning(1, len)), [0, 1, 2, 3]);
    rotate(NOW, &mut [0; 0]);
}

proptest! {
    #[test]
    fn every_element_of_a_list_comes_first_in_turn(first in 0..10_000_usize, len in 1..200_usize) {
        let beginnings: HashSet<_> = (first..first + len).map(|pass| beginning(pass, len)).collect();
        prop_assert_eq!(beginnings.len(), len);
        prop_assert!(beginnings.iter().all(|beginning| *beginning < len));
    }
}
