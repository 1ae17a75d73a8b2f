//! What is answered to which path.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderName, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::get;
use metrics::{counter, histogram};
use serde_json::json;
use tokio::sync::Semaphore;

use super::feed::{Feed, NEWEST_MAX, array};
use super::{Api, live};
use crate::event::{Kind, Outcome};
use crate::state::FeatureSet;
use crate::telemetry::Health;
use crate::telemetry::metric::{self, Exporter};

/// Live streams open at once; the next one is told to come back.
const WATCHERS_MAX: usize = 64;
/// Decisions answered where no limit is given.
const LIMIT_DEFAULT: usize = 50;
/// Bytes of a path with its query.
const URI_BYTES_MAX: usize = 4_096;

/// Every path that is answered.
const ROUTES: [&str; 12] = [
    "/",
    "/figures",
    "/figures.js",
    "/live",
    "/live.js",
    "/live.css",
    "/icon.svg",
    "/api/decisions",
    "/metrics",
    "/health/live",
    "/health/ready",
    "/version",
];

const PAGE: &str = include_str!("page/live.html");
const FIGURES: &str = include_str!("page/figures.html");
const FIGURES_SCRIPT: &str = include_str!("page/figures.js");
const SCRIPT: &str = include_str!("page/live.js");
const STYLE: &str = include_str!("page/live.css");
const ICON: &str = include_str!("page/icon.svg");

/// On every answer. Nothing is loaded from elsewhere, nothing runs that is not ours, and no other
/// page may frame this one or read what it serves.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What answers are made from.
#[derive(Clone)]
pub(super) struct Shared {
    feed: Feed,
    health: Health,
    exporter: Option<Exporter>,
    seats: Arc<Semaphore>,
    page: Arc<str>,
    features: Arc<FeatureSet>,
    /// what live streams begin with
    head: Arc<str>,
}

impl Shared {
    pub(super) fn new(api: &Api, feed: Feed) -> Shared {
        Shared {
            feed,
            health: api.health.clone(),
            exporter: api.exporter.clone(),
            seats: Arc::new(Semaphore::new(WATCHERS_MAX)),
            page: Arc::from(page()),
            features: Arc::clone(&api.features),
            head: Arc::from(live::head(&api.features)),
        }
    }
}

pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(show_page))
        .route("/figures", get(show_figures))
        .route("/figures.js", get(|| text("text/javascript", FIGURES_SCRIPT)))
        .route("/live", get(follow))
        .route("/live.js", get(|| text("text/javascript", SCRIPT)))
        .route("/live.css", get(|| text("text/css", STYLE)))
        .route("/icon.svg", get(|| text("image/svg+xml", ICON)))
        .route("/api/decisions", get(decisions))
        .route("/metrics", get(metrics))
        .route("/health/live", get(|| text("text/plain", "live\n")))
        .route("/health/ready", get(ready))
        .route("/version", get(version))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn(guard))
        .with_state(shared)
}

/// A path as a label: one that is not ours is like any other.
fn route_of(path: &str) -> &'static str {
    ROUTES.into_iter().find(|route| *route == path).unwrap_or("other")
}

/// Refuses what no path takes, and puts the security headers on every answer.
async fn guard(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = route_of(request.uri().path());
    let uri_bytes = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let mut response = if uri_bytes > URI_BYTES_MAX {
        let why = format!("path has {uri_bytes} bytes, expected at most {URI_BYTES_MAX}");
        error(StatusCode::URI_TOO_LONG, &why)
    } else if request.body().is_end_stream() {
        next.run(request).await
    } else {
        error(StatusCode::PAYLOAD_TOO_LARGE, "request has a body, expected none")
    };
    for (name, value) in HEADERS {
        let value = header::HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    let status = response.status().as_u16().to_string();
    counter!(metric::HTTP_REQUESTS, "route" => route, "status" => status).increment(1);
    histogram!(metric::HTTP_SECONDS, "route" => route).record(began.elapsed().as_secs_f64());
    response
}

fn error(status: StatusCode, why: &str) -> Response {
    (status, axum::Json(json!({ "error": why }))).into_response()
}

async fn text(media_type: &'static str, text: &'static str) -> Response {
    let media_type = format!("{media_type}; charset=utf-8");
    ([(header::CONTENT_TYPE, media_type)], text).into_response()
}

async fn show_figures() -> Response {
    let page = FIGURES.replace("{{version}}", env!("CARGO_PKG_VERSION"));
    axum::response::Html(page).into_response()
}

async fn show_page(State(shared): State<Shared>) -> Response {
    axum::response::Html(shared.page.to_string()).into_response()
}

/// The page with what the server knows filled in: its version and the words of the domain. None of
/// them is input.
fn page() -> String {
    let chip = |name: &str, value: &str, text: &str| {
        format!(
            "<label class=\"chip\"><input type=\"checkbox\" name=\"{name}\" value=\"{value}\" \
             checked><span>{text}</span></label>\n"
        )
    };
    let words = |outcome: Outcome| outcome.name().replace('_', " ").to_lowercase();
    let kinds = Kind::SCORED.map(|kind| chip("kind", kind.label(), kind.label()));
    let outcomes = Outcome::ALL.map(|o| chip("outcome", o.name(), &words(o)));
    let heads = Outcome::ALL.map(|outcome| {
        let name = outcome.name();
        format!("<th scope=\"col\"><span class=\"badge {name}\">{}</span></th>\n", words(outcome))
    });
    let cells = |row: &str| {
        let columns = Outcome::ALL.iter().map(|outcome| outcome.name());
        let cell = |column| format!("<td data-count=\"{row} {column}\">0</td>");
        columns.chain(["all"]).map(cell).collect::<String>()
    };
    let rows = Kind::SCORED.map(|kind| {
        let label = kind.label();
        let cells = cells(label);
        format!("<tr><th scope=\"row\">{label}</th>{cells}</tr>\n")
    });
    PAGE.replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{kinds}}", &kinds.concat())
        .replace("{{outcomes}}", &outcomes.concat())
        .replace("{{count_heads}}", &heads.concat())
        .replace("{{count_rows}}", &rows.concat())
        .replace("{{count_all}}", &cells("all"))
}

async fn follow(State(shared): State<Shared>) -> Response {
    match Arc::clone(&shared.seats).try_acquire_owned() {
        Ok(seat) => Sse::new(live::stream(&shared.feed, shared.head.clone(), seat)).into_response(),
        Err(_) => {
            let why = format!("{WATCHERS_MAX} live streams are open already, expected fewer");
            let refused = error(StatusCode::SERVICE_UNAVAILABLE, &why);
            ([(header::RETRY_AFTER, "10")], refused).into_response()
        }
    }
}

async fn decisions(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response {
    match limit(query.as_deref().unwrap_or_default()) {
        Ok(limit) => {
            let features: Vec<&str> = shared.features.names().map(|(name, _)| name).collect();
            let features = json!(features);
            let feature_set = json!(shared.features.hash());
            let newest = array(&shared.feed.newest(limit));
            let body = format!(
                "{{\"feature_set\":{feature_set},\"features\":{features},\"decisions\":{newest}}}\n"
            );
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(why) => error(StatusCode::BAD_REQUEST, &why),
    }
}

/// The limit in a query string.
fn limit(query: &str) -> Result<usize, String> {
    let mut limit = LIMIT_DEFAULT;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "limit" {
            return Err(format!("unknown parameter {name:?}, expected \"limit\""));
        }
        limit = value.parse().ok().filter(|limit| (1..=NEWEST_MAX).contains(limit)).ok_or_else(
            || format!("limit is {value:?}, expected a whole number from 1 to {NEWEST_MAX}"),
        )?;
    }
    Ok(limit)
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match &shared.exporter {
        Some(exporter) => {
            let media_type = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, media_type)], exporter.render()).into_response()
        }
        None => error(StatusCode::NOT_FOUND, "this process does not export metrics"),
    }
}

async fn ready(State(shared): State<Shared>) -> Response {
    let not_ready = shared.health.not_ready();
    let ready = not_ready.is_empty();
    let parts = not_ready.into_iter().map(|(part, why)| {
        let part = [("part", part), ("why", why)];
        BTreeMap::from(part)
    });
    let body = json!({ "ready": ready, "not_ready": parts.collect::<Vec<_>>() });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(body)).into_response()
}

async fn version(State(shared): State<Shared>) -> Response {
    axum::Json(json!({
        "name": "weir",
        "version": env!("CARGO_PKG_VERSION"),
        "feature_set": shared.features.hash(),
    }))
    .into_response()
}

async fn no_such_path(uri: Uri) -> Response {
    let why = format!("no such path: {:?}", uri.path());
    error(StatusCode::NOT_FOUND, &why)
}

async fn no_such_method() -> Response {
    error(StatusCode::METHOD_NOT_ALLOWED, "expected GET or HEAD")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_kind_and_outcome_and_no_gap() {
        let page = page();
        assert!(!page.contains("{{"), "{page}");
        for kind in Kind::SCORED {
            for outcome in Outcome::ALL {
                let cell = format!("data-count=\"{} {}\"", kind.label(), outcome.name());
                assert!(page.contains(&cell), "{cell}");
            }
        }
    }

    #[test]
    fn the_page_needs_nothing_that_its_policy_forbids() {
        for (name, text) in [("page", page()), ("script", SCRIPT.to_owned())] {
            for forbidden in [" style=", " onclick=", "http://", "https://", "innerHTML", "eval("] {
                // the name of an SVG's namespace is not loaded
                let text = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(forbidden), "{name} has {forbidden:?}");
            }
        }
        assert!(!page().contains("<script>") && !page().contains("<style"));
    }

    #[test]
    fn a_wrong_limit_is_refused_by_name_and_value() {
        assert_eq!(limit(""), Ok(LIMIT_DEFAULT));
        assert_eq!(limit("limit=7"), Ok(7));
        for wrong in ["limit=0", "limit=-1", "limit=x", "limit", "limit=501"] {
            let why = limit(wrong).unwrap_err();
            assert!(why.contains("limit is") && why.contains("500"), "{why}");
        }
        assert!(limit("count=3").unwrap_err().contains("\"count\""));
    }
}
