//! Records of weir's own that can never be stored, as dead letters: the sink goes on past them.

use metrics::counter;

use crate::codec::{EncodeError, Encoder, Refusal};
use crate::event::{Code, FailedStage, Millis};
use crate::log::{Appender, LogError, Record, RecordBatch};
use crate::telemetry::metric;

/// Dead letters of one chunk.
pub(super) struct Letters {
    encoder: Encoder,
    records: RecordBatch,
    refusals: Vec<Code>,
}

impl Letters {
    pub(super) fn new() -> Letters {
        Letters {
            encoder: Encoder::of_process(),
            records: RecordBatch::default(),
            refusals: Vec::new(),
        }
    }

    /// Forgets what was written up and not posted.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.refusals.clear();
    }

    /// Whether a record may be stored; one that is too large is written up.
    ///
    /// # Errors
    /// When the dead letter does not fit its contract: a defect.
    pub(super) fn pass(
        &mut self,
        record: &Record,
        bytes_max: usize,
        now: Millis,
    ) -> Result<bool, EncodeError> {
        let bytes = record.payload().len();
        if bytes <= bytes_max {
            return Ok(true);
        }
        let message = format!("record has {bytes} bytes, expected at most {bytes_max} to store it");
        self.add(record, Code::TooLarge, message, now)?;
        Ok(false)
    }

    fn add(
        &mut self,
        record: &Record,
        code: Code,
        message: String,
        now: Millis,
    ) -> Result<(), EncodeError> {
        let position = record.position;
        tracing::error!(%position, message, "a record is not stored, it becomes a dead letter");
        let refusal = Refusal { stage: FailedStage::Store, code, message };
        self.encoder.add_dead_letter(record, &refusal, now, &mut self.records)?;
        self.refusals.push(code);
        Ok(())
    }

    /// Appends what was written up. A crash before the positions are committed appends it again.
    ///
    /// # Errors
    /// When it may not have been appended.
    pub(super) fn post(&mut self, appender: &mut dyn Appender) -> Result<(), LogError> {
        if self.refusals.is_empty() {
            return Ok(());
        }
        appender.append(&self.records)?;
        for code in self.refusals.drain(..) {
            let (stage, code) = (FailedStage::Store.name(), code.name());
            counter!(metric::DEAD_LETTERS, "stage" => stage, "code" => code).increment(1);
        }
        self.records.clear();
        Ok(())
    }
}
