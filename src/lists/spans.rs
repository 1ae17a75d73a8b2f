//! Spans of addresses or integers: which is the narrowest that contains a point.
//!
//! A layer holds spans of which two are apart or one contains the other, sorted by where they begin.
//! Those that contain a point are then the last that begins before it, the span around that one, and so
//! on outwards: one search and a few steps. Networks always fit one layer; ranges that cross others go
//! to further layers, at most as many as there are ranges around one point.

use super::LAYERS_MAX;
use super::records::Records;
use super::value::Span;

/// No span around this one.
const NONE: u32 = u32::MAX;

/// Keys that are looked at together: a few lines of the cache that are read at once.
const FAN: usize = 16;

/// A point that spans contain.
pub(super) trait Point: Copy + Ord {
    /// What with a span's low end tells its high one.
    type Extent: Copy + std::fmt::Debug;

    /// Of a span.
    fn extent(span: Span<Self>) -> Self::Extent;

    /// The high end.
    fn high(low: Self, extent: Self::Extent) -> Self;

    /// The same order in 128 bits.
    fn wide(self) -> u128;
}

/// Addresses: spans are networks, and told by how many bits may differ.
macro_rules! addresses {
    ($($ty:ty),*) => {
        $(impl Point for $ty {
            type Extent = u8;

            fn extent(span: Span<$ty>) -> u8 {
                (<$ty>::BITS - (span.low ^ span.high).leading_zeros()) as u8
            }

            #[inline]
            fn high(low: $ty, host: u8) -> $ty {
                low | <$ty>::MAX.checked_shr(<$ty>::BITS - u32::from(host)).unwrap_or(0)
            }

            fn wide(self) -> u128 {
                u128::from(self)
            }
        })*
    };
}

addresses!(u32, u128);

impl Point for i64 {
    type Extent = i64;

    fn extent(span: Span<i64>) -> i64 {
        span.high
    }

    #[inline]
    fn high(_low: i64, high: i64) -> i64 {
        high
    }

    fn wide(self) -> u128 {
        u128::from(self.abs_diff(i64::MIN))
    }
}

/// An entry that was found: which of its layer. Of two that contain a value, the one of smaller rank is
/// nearer to it; no two keys have one rank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) layer: u32,
    pub(super) at: u32,
    pub(super) rank: (u128, u128),
}

/// A span and the place of its entry.
pub(super) type Raw<K> = (Span<K>, u32);

/// Spans.
#[derive(Debug)]
pub(super) struct Spans<K: Point> {
    layers: Vec<Layer<K>>,
    /// what found no layer
    rest: Vec<Raw<K>>,
}

/// Spans by position, in the order of where they begin, and above them the first key of each block, and
/// of each block of those: the upper levels of a search stay in the cache.
#[derive(Debug)]
struct Layer<K: Point> {
    /// the highest level first
    upper: Vec<Vec<[K; FAN]>>,
    blocks: Vec<Block<K>>,
    /// what only an answer needs
    places: Vec<u32>,
}

/// What the end of a search looks at stands together. The last block repeats its last span.
#[derive(Debug)]
struct Block<K: Point> {
    lows: [K; FAN],
    extents: [K::Extent; FAN],
    /// the position of the narrowest span around each
    outer: [u32; FAN],
}

impl<K: Point> Spans<K> {
    /// Spans of these entries, and how many keys they have. Of one key the first is kept; where
    /// another says something else, `twice` is its place.
    pub(super) fn build(
        mut raws: Vec<Raw<K>>,
        records: &Records,
        twice: &mut Option<u32>,
    ) -> (Spans<K>, usize) {
        raws.sort_unstable_by(|(a, first), (b, second)| {
            a.low.cmp(&b.low).then(b.high.cmp(&a.high)).then(first.cmp(second))
        });
        raws.dedup_by(|(later, second), (span, first)| {
            let is_same = later == span;
            if is_same && twice.is_none() && records.said(*first) != records.said(*second) {
                *twice = Some(*second);
            }
            is_same
        });
        let count = raws.len();
        let mut layers: Vec<Layering<K>> = Vec::new();
        let mut rest = Vec::new();
        for raw in raws {
            if layers.iter_mut().any(|layer| layer.take(raw)) {
                continue;
            }
            if layers.len() == LAYERS_MAX {
                rest.push(raw);
                continue;
            }
            let mut layer = Layering::default();
            layer.take(raw);
            layers.push(layer);
        }
        let layers = layers.into_iter().map(Layering::done).collect();
        (Spans { layers, rest }, count)
    }

    /// An entry that found no layer, if there is one.
    pub(super) fn crossing(&self) -> Option<u32> {
        self.rest.iter().map(|(_, place)| *place).min()
    }

    /// The narrowest span around a point that is accepted by its entry's place; where all are, nobody
    /// is asked.
    #[inline]
    pub(super) fn find(&self, point: K, all: bool, accept: impl Fn(u32) -> bool) -> Option<Hit> {
        let mut nearest: Option<Hit> = None;
        let mut consider = |layer: usize, at: usize, span: Span<K>| {
            let rank = (span.high.wide() - span.low.wide(), span.low.wide());
            if nearest.is_none_or(|nearest| rank < nearest.rank) {
                nearest = Some(Hit { layer: layer as u32, at: at as u32, rank });
            }
        };
        for (i, layer) in self.layers.iter().enumerate() {
            if let Some((at, span)) = layer.find(point, all, &accept) {
                consider(i, at, span);
            }
        }
        for (i, (span, place)) in self.rest.iter().enumerate() {
            if span.low <= point && point <= span.high && accept(*place) {
                consider(self.layers.len(), i, *span);
            }
        }
        nearest
    }

    /// The place of the entry that was found.
    pub(super) fn place(&self, hit: Hit) -> u32 {
        match self.layers.get(hit.layer as usize) {
            Some(layer) => layer.places[hit.at as usize],
            None => self.rest[hit.at as usize].1,
        }
    }

    /// The entry of exactly this span.
    pub(super) fn locate(&self, span: Span<K>) -> Option<u32> {
        let found = self.layers.iter().find_map(|layer| layer.locate(span));
        found.or_else(|| self.rest.iter().find(|(other, _)| *other == span).map(|(_, at)| *at))
    }

    /// The places of all entries.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        let layered = self.layers.iter().flat_map(|layer| layer.places.iter().copied());
        layered.chain(self.rest.iter().map(|(_, place)| *place))
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let layered: usize = self.layers.iter().map(Layer::bytes).sum();
        layered + size_of_val(&*self.rest)
    }
}

impl<K: Point> Layer<K> {
    fn bytes(&self) -> usize {
        let upper: usize = self.upper.iter().map(|level| size_of_val(&**level)).sum();
        upper + size_of_val(&*self.blocks) + size_of_val(&*self.places)
    }

    /// The span at a position, and the position of the one around it.
    #[inline]
    fn span(&self, at: usize) -> (Span<K>, u32) {
        let (block, i) = (&self.blocks[at / FAN], at % FAN);
        let low = block.lows[i];
        (Span { low, high: K::high(low, block.extents[i]) }, block.outer[i])
    }

    /// The position of the last span that begins no later than this.
    #[inline]
    fn last_up_to(&self, key: K) -> Option<usize> {
        let mut block = 0;
        for level in &self.upper {
            // what repeats the last key of a level tells nothing: there may be no such block
            let keys = level.get(block).or(level.last())?;
            // only of the very first block even the first key may be larger
            block = block.min(level.len() - 1) * FAN + up_to(keys, key).checked_sub(1)?;
        }
        let block = block.min(self.blocks.len() - 1);
        let count = up_to(&self.blocks[block].lows, key);
        (block * FAN + count).min(self.places.len()).checked_sub(1)
    }

    /// The narrowest accepted span around a point, and its position.
    #[inline]
    fn find(&self, point: K, all: bool, accept: &impl Fn(u32) -> bool) -> Option<(usize, Span<K>)> {
        let mut at = self.last_up_to(point)?;
        loop {
            let (span, outer) = self.span(at);
            if point <= span.high && (all || accept(self.places[at])) {
                return Some((at, span));
            }
            if outer == NONE {
                return None;
            }
            at = outer as usize;
        }
    }

    fn locate(&self, wanted: Span<K>) -> Option<u32> {
        let mut at = self.last_up_to(wanted.low)?;
        // the last that begins there is the narrowest: the others are around it
        loop {
            let (span, outer) = self.span(at);
            if span == wanted {
                return Some(self.places[at]);
            }
            if span.low != wanted.low || outer == NONE {
                return None;
            }
            at = outer as usize;
        }
    }
}

/// A layer that is being filled.
struct Layering<K> {
    spans: Vec<Raw<K>>,
    outer: Vec<u32>,
    /// positions of the spans around the last one and that itself, the outermost first
    open: Vec<u32>,
}

impl<K> Default for Layering<K> {
    fn default() -> Layering<K> {
        Layering { spans: Vec::new(), outer: Vec::new(), open: Vec::new() }
    }
}

impl<K: Point> Layering<K> {
    /// Takes a span that begins no earlier than those before, unless it crosses one of them.
    fn take(&mut self, (span, place): Raw<K>) -> bool {
        let high = |at: u32| self.spans[at as usize].0.high;
        while self.open.pop_if(|at| high(*at) < span.low).is_some() {}
        let outer = self.open.last().copied();
        if outer.is_some_and(|at| high(at) < span.high) {
            return false;
        }
        self.open.push(self.spans.len() as u32);
        self.spans.push((span, place));
        self.outer.push(outer.unwrap_or(NONE));
        true
    }

    fn done(self) -> Layer<K> {
        let inner: Vec<(Raw<K>, u32)> = self.spans.into_iter().zip(self.outer).collect();
        let blocks: Vec<Block<K>> = inner
            .chunks(FAN)
            .map(|spans| {
                let of = |i: usize| spans[i.min(spans.len() - 1)];
                Block {
                    lows: std::array::from_fn(|i| of(i).0.0.low),
                    extents: std::array::from_fn(|i| K::extent(of(i).0.0)),
                    outer: std::array::from_fn(|i| of(i).1),
                }
            })
            .collect();
        let mut upper: Vec<Vec<[K; FAN]>> = Vec::new();
        let mut firsts: Vec<K> = blocks.iter().map(|block| block.lows[0]).collect();
        while firsts.len() > 1 {
            let whole = |keys: &[K]| std::array::from_fn(|i| keys[i.min(keys.len() - 1)]);
            let level: Vec<[K; FAN]> = firsts.chunks(FAN).map(whole).collect();
            firsts = level.iter().map(|keys| keys[0]).collect();
            upper.push(level);
        }
        upper.reverse();
        Layer { upper, blocks, places: inner.iter().map(|((_, place), _)| *place).collect() }
    }
}

/// How many of these are at most the key: few comparisons, and no branches, as those would be
/// mispredicted as often as not.
#[inline(always)]
fn up_to<K: Point>(keys: &[K; FAN], key: K) -> usize {
    const STEP: usize = 4;
    let count = |keys: &[K], step: usize| -> usize {
        keys.iter().step_by(step).map(|other| usize::from(*other <= key)).sum()
    };
    let begin = count(keys, STEP).saturating_sub(1) * STEP;
    begin + count(&keys[begin..begin + STEP], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_the_last_span_that_begins_before() {
        for count in [1_i64, 15, 16, 17, 255, 256, 257, 5_000] {
            let raws = (0..count).map(|i| (Span { low: i * 3, high: i * 3 + 1 }, i as u32));
            let (spans, _) = Spans::build(raws.collect(), &Records::default(), &mut None);
            for point in -1..=count * 3 {
                let expected = (0..count * 3).contains(&point) && point % 3 != 2;
                let found = spans.find(point, true, |_| true);
                assert_eq!(found.is_some(), expected, "{point} of {count}");
                assert!(found.is_none_or(|hit| i64::from(spans.place(hit)) == point / 3));
            }
        }
        let (none, count) = Spans::<i64>::build(Vec::new(), &Records::default(), &mut None);
        assert!(none.find(0, true, |_| true).is_none() && count == 0);
        assert_eq!(none.locate(Span { low: 0, high: 0 }), None);
    }

    #[test]
    fn ranges_that_cross_take_a_layer_each_and_the_rest_is_found_too() {
        let stairs = 2 * LAYERS_MAX as i64;
        let raws: Vec<Raw<i64>> =
            (0..stairs).map(|i| (Span { low: i, high: i + stairs }, i as u32 + 1)).collect();
        let (spans, count) = Spans::build(raws, &Records::default(), &mut None);
        assert_eq!((count, spans.layers.len()), (stairs as usize, LAYERS_MAX));
        assert_eq!(spans.crossing(), Some(LAYERS_MAX as u32 + 1));
        for point in 0..2 * stairs {
            // all are equally wide: the first of them is the nearest
            let expected = (0..stairs).find(|i| (*i..=i + stairs).contains(&point));
            let found = spans.find(point, true, |_| true);
            let found = found.map(|hit| i64::from(spans.place(hit)) - 1);
            assert_eq!(found, expected, "{point}");
        }
        for i in 0..stairs {
            assert_eq!(spans.locate(Span { low: i, high: i + stairs }), Some(i as u32 + 1));
            assert_eq!(spans.locate(Span { low: i, high: i + stairs + 1 }), None);
        }
    }
}
