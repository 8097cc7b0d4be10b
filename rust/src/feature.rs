//! What a model says of its inputs, outputs and states.

use crate::{sys, text};

/// One input, output or state as the model declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The name that predictions take it or give it by.
    pub name: String,
    /// `MultiArray`, `Image`, `String`, `Int64`, `Double`, `Dictionary`, `Sequence` or `State`.
    pub kind: String,
    /// `fp16`, `int32`, `string`, ..., which `parse::<DType>()` takes.
    pub dtype: String,
    /// The default shape or the only one; -1 for an extent that the file does not state.
    pub shape: Vec<i64>,
    /// The least and the largest extent of each axis where the shape is flexible; no largest: any.
    pub ranges: Vec<(i64, Option<i64>)>,
    /// The shapes that are allowed, where they are listed.
    pub enumerated: Vec<Vec<i64>>,
    /// Whether it may be left out.
    pub optional: bool,
    /// The author's text, or empty.
    pub description: String,
}

impl Feature {
    /// # Safety
    /// `feature` is null or one that the library gave.
    pub(crate) unsafe fn copied(feature: *const sys::mw_feature) -> Option<Feature> {
        // SAFETY: as the caller says; the header says what each field is.
        unsafe {
            let feature = feature.as_ref()?;
            let extents =
                |at: *const i64, rank: usize| (0..rank).map(|axis| *at.add(axis)).collect();
            let range = |i: usize| {
                let range = *feature.ranges.add(i);
                (range.least, Some(range.most).filter(|most| *most >= 0))
            };
            let listed = |i: usize| {
                let shape = *feature.enumerated.add(i);
                extents(shape.extents, shape.rank)
            };
            Some(Feature {
                name: text::owned(feature.name),
                kind: text::owned(feature.kind),
                dtype: text::owned(feature.dtype),
                shape: extents(feature.shape, feature.rank),
                ranges: (0..feature.range_count).map(range).collect(),
                enumerated: (0..feature.enumerated_count).map(listed).collect(),
                optional: feature.optional != 0,
                description: text::owned(feature.description),
            })
        }
    }
}
