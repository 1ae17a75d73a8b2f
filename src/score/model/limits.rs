//! What a model file may hold. Nodes and columns are numbered by `u32` and `u16`.

/// Bytes of a model's text: a hundred times the largest that is usual.
pub const MODEL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Trees of a model.
pub const MODEL_TREES_MAX: usize = 20_000;
/// Nodes of all its trees, leaves included: 256 MiB of them.
pub const MODEL_NODES_MAX: usize = 16 * 1024 * 1024;
/// Steps from a tree's root to its furthest leaf. A decision walks that far at most.
pub const MODEL_DEPTH_MAX: usize = 1_024;
/// How far from 0 a leaf may be: sums of as many trees as there may be stay finite in 32 bits.
pub const LEAF_VALUE_MAX: f64 = 1e30;
/// Features of a model.
pub const MODEL_FEATURES_MAX: usize = 4_096;
/// Values that a categorical feature may have, and the highest code plus one.
pub const MODEL_CATEGORIES_MAX: usize = 1 << 20;
/// Words of all sets of categories that splits ask for: 256 MiB of them.
pub const MODEL_SET_WORDS_MAX: usize = 64 * 1024 * 1024;
/// Points of an isotonic table.
pub const CALIBRATION_POINTS_MAX: usize = 65_536;
/// Bytes of a calibration's text.
pub const CALIBRATION_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Ways to prepare a feature for the nodes that read it: which way a missing value goes, whether
/// zero is one, or a category.
pub(super) const TREATMENTS: usize = 7;

const _: () = assert!(MODEL_NODES_MAX < u32::MAX as usize);
const _: () = assert!(MODEL_FEATURES_MAX * TREATMENTS < u16::MAX as usize);
const _: () = assert!(MODEL_SET_WORDS_MAX < u32::MAX as usize);
