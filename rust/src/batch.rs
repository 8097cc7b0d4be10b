//! What a step learns from.

use crate::error::{Error, Result};
use crate::tensor::{Tensor, TensorMap, Views};

/// Inputs by name, with the labels as `labels`.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    tensors: TensorMap,
}

impl Batch {
    /// Token ids and, at each position, the id that is to follow: int32 `[batch, time]` each. Label
    /// -100 is ignored.
    pub fn new(input_ids: Tensor, labels: Tensor) -> Batch {
        Batch::from([("input_ids", input_ids), ("labels", labels)])
    }

    /// Rows of a text, of equally many ids: each id but the last is to be followed by the next one.
    pub fn next_tokens<R: AsRef<[i32]>>(rows: &[R]) -> Result<Batch> {
        let length = rows.first().map_or(0, |row| row.as_ref().len());
        let (mut ids, mut labels) = (Vec::new(), Vec::new());
        for row in rows.iter().map(AsRef::as_ref) {
            if row.len() != length || length < 2 {
                return Err(Error::argument(format!(
                    "batch: expected rows of equally many ids, at least 2, got {}",
                    row.len()
                )));
            }
            ids.extend_from_slice(&row[..length - 1]);
            labels.extend_from_slice(&row[1..]);
        }
        let shape = [rows.len(), length.saturating_sub(1)];
        Ok(Batch::new(Tensor::new(shape, ids)?, Tensor::new(shape, labels)?))
    }

    pub(crate) fn views(&self) -> Result<Views<'_>> {
        Views::of(&self.tensors)
    }
}

impl From<TensorMap> for Batch {
    fn from(tensors: TensorMap) -> Batch {
        Batch { tensors }
    }
}

impl<N: Into<String>, const COUNT: usize> From<[(N, Tensor); COUNT]> for Batch {
    fn from(tensors: [(N, Tensor); COUNT]) -> Batch {
        Batch { tensors: tensors.into_iter().map(|(name, value)| (name.into(), value)).collect() }
    }
}
