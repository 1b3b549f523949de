//! Fuzzing: what comes from outside, as bytes. `cargo test` replays the inputs that are kept in `__fuzz__` and makes some hundred
//! more by chance; `tests/fuzz/run` searches for new ones, guided by coverage. `docs/security.md` says how.
//!
//! Part of the library's unit tests, so that it reaches what nobody else should.

mod cursors;
mod decisions;
mod frames;
mod records;
mod requests;
mod seals;
mod tokens;

/// Cases by chance in an ordinary test run: a second or two for each target.
const CASES: usize = 1_000;
/// In bytes.
const MAX_LEN: usize = 2_048;

/// Draws decisions from the fuzzer's bytes; zeros when they are used up, so that every input means something.
struct Draw<'a>(&'a [u8]);

impl<'a> Draw<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(usize::from(self.byte()).min(most).min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn text(&mut self, most: usize) -> String {
        String::from_utf8_lossy(self.take(most)).into_owned()
    }

    fn number(&mut self) -> i64 {
        const EXTREMES: &[i64] =
            &[0, 1, -1, 2, 7, 200, 1_000, 1_001, i64::MAX, i64::MIN, i64::MAX - 1, 1 << 53, -1_000_000];
        match self.byte() {
            byte if byte < 128 => i64::from(byte),
            byte => EXTREMES[usize::from(byte - 128) % EXTREMES.len()],
        }
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// `bytes`, changed in some places: overwritten, cut, repeated or lengthened.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return self.rest().to_vec();
            }
            let at = (self.below(256) * 256 + self.below(256)) % bytes.len();
            match self.below(5) {
                0 => bytes[at] = self.byte(),
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes.truncate(at),
                3 => drop(bytes.splice(at..at, self.take(16).iter().copied())),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    }
}

/// A runtime whose waiting takes no time.
fn timeless() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime")
}
