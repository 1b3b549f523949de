//! Which partition of `deliveries` to claim.

use rand::seq::IndexedRandom;

use crate::sessions::SessionTable;

/// One that nobody holds, else one whose holder is overdue; by chance, so that gateways that start together seldom meet.
/// With it the generation to claim it in: looked up before the holder, so that a claim which arrives after that is not superseded
/// by mistake, but met in the same generation, where the first one holds.
pub fn partition(table: &SessionTable, partitions: i32) -> Option<(i32, i64)> {
    let generations: Vec<_> = (0..partitions).map(|partition| table.generation(partition) + 1).collect();
    let standing = |partition| table.holder(partition).map(|(_, overdue)| overdue);
    let chosen = choose((0..partitions).map(|partition| (partition, standing(partition))))?;
    Some((chosen, *generations.get(usize::try_from(chosen).ok()?)?))
}

/// `standing`: whether the holder is overdue, none if there is none.
fn choose(standing: impl Iterator<Item = (i32, Option<bool>)>) -> Option<i32> {
    let (mut free, mut overdue) = (Vec::new(), Vec::new());
    for (partition, holder) in standing {
        match holder {
            None => free.push(partition),
            Some(true) => overdue.push(partition),
            Some(false) => {}
        }
    }
    let candidates = if free.is_empty() { overdue } else { free };
    candidates.choose(&mut rand::rng()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_come_before_the_overdue_and_the_held_never() {
        assert_eq!(choose([(0, Some(false)), (1, Some(true)), (2, None)].into_iter()), Some(2));
        assert_eq!(choose([(0, Some(false)), (1, Some(true))].into_iter()), Some(1));
        assert_eq!(choose([(0, Some(false))].into_iter()), None);
    }
}
