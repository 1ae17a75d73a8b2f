//! The bytes of a file: plain or compressed, told by their first bytes, counted and never ahead of
//! the reader by more than a buffer.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Problem, ReplayError};
use super::map::Format;

/// Bytes read at once.
pub(super) const BUFFER_BYTES: usize = 65_536;

/// Bytes looked at to tell how the rows are written.
const PEEK_BYTES: usize = 64;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// An open file, decompressed, without a byte order mark.
pub(super) struct Input {
    pub(super) reader: Box<dyn BufRead + Send>,
    pub(super) read: Progress,
    /// size of the file, where it has one
    pub(super) total_bytes: Option<u64>,
    /// what the first byte says; `None` where there is nothing
    pub(super) format: Option<Format>,
}

/// Counts the bytes taken from the file, before they are decompressed.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted<R> {
    inner: R,
    read: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> Result<Input, ReplayError> {
        let name = path.display().to_string();
        let fatal = |problem| ReplayError::fatal(&name, problem);
        if path.as_os_str() == "-" {
            let input = Input::new(Box::new(io::stdin()), None);
            return input.map_err(|problem| ReplayError::fatal("standard input", problem));
        }
        let file = File::open(path).map_err(|error| fatal(Problem::Unreadable(error)))?;
        let size = file.metadata().ok().filter(std::fs::Metadata::is_file);
        Input::new(Box::new(file), size.map(|metadata| metadata.len())).map_err(fatal)
    }

    /// Tells compression and format by the first bytes.
    pub(super) fn new(
        raw: Box<dyn Read + Send>,
        total_bytes: Option<u64>,
    ) -> Result<Input, Problem> {
        let read = Progress::default();
        let mut raw = Counted { inner: raw, read: read.clone() };
        let cannot = |error| Problem::read(error, &read);
        let magic = peek(&mut raw, 4).map_err(cannot)?;
        let plain: Box<dyn Read + Send> = match compression(&magic) {
            None => Box::new(Cursor::new(magic).chain(raw)),
            Some("zstd") => {
                let compressed = Cursor::new(magic).chain(raw);
                Box::new(zstd::Decoder::new(compressed).map_err(cannot)?)
            }
            Some(found) => return Err(Problem::Compression { found }),
        };
        let mut plain = BufReader::with_capacity(BUFFER_BYTES, plain);
        let mut head = peek(&mut plain, PEEK_BYTES).map_err(cannot)?;
        if head.starts_with(BOM) {
            head.drain(..BOM.len());
        }
        let format = match head.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Some(Format::JsonLines),
            Some(_) => Some(Format::Csv),
            None => None,
        };
        Ok(Input { reader: Box::new(Cursor::new(head).chain(plain)), read, total_bytes, format })
    }
}

impl Problem {
    /// The problem of a read that failed, where `read` counts what was read.
    pub(super) fn read(error: io::Error, read: &Progress) -> Problem {
        match error.kind() {
            // only a decompressor minds where its data ends
            io::ErrorKind::UnexpectedEof => Problem::Truncated { bytes: read.bytes() },
            _ => Problem::Unreadable(error),
        }
    }
}

/// The compression that data beginning like this has.
fn compression(magic: &[u8]) -> Option<&'static str> {
    match magic {
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Some("zstd"),
        // a skippable frame, as parallel compressors begin with
        [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Some("zstd"),
        [0x1F, 0x8B, ..] => Some("gzip"),
        [b'B', b'Z', b'h', ..] => Some("bzip2"),
        [0xFD, b'7', b'z', b'X', ..] => Some("xz"),
        [b'P', b'K', 0x03, 0x04, ..] => Some("zip"),
        _ => None,
    }
}

/// The next bytes, fewer only at the end.
fn peek(reader: &mut impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(bytes);
    reader.take(bytes as u64).read_to_end(&mut head)?;
    Ok(head)
}
