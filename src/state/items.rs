//! Words in items of one length, in order of the first word of each, which tells when it was.

/// Items of a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Items<'a> {
    words: &'a [i64],
    stride: usize,
}

impl<'a> Items<'a> {
    /// Items of so many words each.
    pub(super) fn new(words: &'a [i64], stride: usize) -> Items<'a> {
        Items { words, stride }
    }

    /// How many there are.
    #[inline]
    pub(super) fn len(self) -> usize {
        let words = self.words.len();
        // by numbers known beforehand: the processor's own division takes as long as all the rest
        match self.stride {
            1 => words,
            2 => words / 2,
            3 => words / 3,
            4 => words / 4,
            stride => words / stride,
        }
    }

    #[inline]
    pub(super) fn get(self, i: usize) -> &'a [i64] {
        &self.words[i * self.stride..][..self.stride]
    }

    /// The first word of an item.
    #[inline]
    pub(super) fn first_of(self, i: usize) -> i64 {
        self.words[i * self.stride]
    }

    #[inline]
    pub(super) fn last(self) -> Option<&'a [i64]> {
        self.words.len().checked_sub(self.stride).map(|at| &self.words[at..])
    }

    /// Those of a range.
    #[inline]
    pub(super) fn of(self, range: std::ops::Range<usize>) -> Items<'a> {
        let words = &self.words[range.start * self.stride..range.end * self.stride];
        Items { words, ..self }
    }

    /// All of them, the last one first.
    #[inline]
    pub(super) fn backwards(self) -> impl Iterator<Item = &'a [i64]> {
        let mut left = self.words;
        std::iter::from_fn(move || {
            let at = left.len().checked_sub(self.stride)?;
            let item;
            (left, item) = left.split_at(at);
            Some(item)
        })
    }

    /// How many leading ones are `before`, which holds for them alone.
    pub(super) fn partition(self, before: impl Fn(&[i64]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match before(self.get(middle)) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }
}
