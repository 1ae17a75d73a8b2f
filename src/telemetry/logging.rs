//! Structured logs on standard error: text for people, JSON lines for machines.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// for people
    #[default]
    Text,
    /// a JSON object a line
    Json,
}

/// Begins to log. `filter` as in `RUST_LOG`, for instance `info,weir::stage=debug`.
///
/// # Errors
/// What is wrong with the filter.
pub fn init_logging(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("log filter {filter:?}: {error}, expected such as \"info\""))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Stderr);
    match format {
        LogFormat::Text => {
            builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| format!("cannot begin to log: {error}"))
}

struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = std::io::Stderr;

    fn make_writer(&'a self) -> Self::Writer {
        std::io::stderr()
    }
}

/// Logs panics with their place instead of printing them: a panic's text may quote an event, so it
/// passes `redact` first.
pub fn log_panics(redact: fn(&str) -> String) {
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().map_or_else(|| "not text".to_owned(), redact);
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, text, "panic");
    }));
}
