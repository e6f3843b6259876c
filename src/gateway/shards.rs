//! Subjects past one object: how many parts they are in, and which part each is in.
//! Must not know what is said of a subject.

use crate::policy::subject::SubjectId;

/// Most bytes of subjects in one object: half of what a ConfigMap may hold.
pub const SHARD_BYTES: usize = 512 * 1024;
/// Most shards of subjects.
pub const MAX_SHARDS: usize = 64;

/// The shard a subject is in, of `count`, a power of two up to [`MAX_SHARDS`]: the first bits
/// of the first byte of its id.
pub fn shard_of(id: &SubjectId, count: usize) -> usize {
    usize::from(id.0[0]) * count / 256
}

/// The fewest shards, a power of two, of which none has more than [`SHARD_BYTES`] of these rows;
/// [`MAX_SHARDS`] where even those have.
pub(super) fn shard_count<'r>(rows: impl Iterator<Item = (&'r SubjectId, usize)> + Clone) -> usize {
    let fits = |count: usize| {
        let mut sizes = vec![0; count];
        rows.clone()
            .for_each(|(id, bytes)| sizes[shard_of(id, count)] += bytes);
        sizes.iter().all(|size| *size <= SHARD_BYTES)
    };
    let mut count = 1;
    while count < MAX_SHARDS && !fits(count) {
        count *= 2;
    }
    count
}
