//! Which format and which encoding a scraper gets, by its `Accept` and `Accept-Encoding` headers (RFC 9110, section 12.5).

/// A text format of Prometheus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Chooses the format by the value of `Accept`. OpenMetrics is given to those who name it in a version we have, with a
/// quality not below that of plain text; everyone else, whatever they ask for, gets the text format.
pub fn negotiate(accept: Option<&str>) -> Format {
    let (mut open_metrics, mut text) = (0u16, 0u16);
    for item in accept.unwrap_or_default().split(',') {
        let mut parts = item.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let (mut quality, mut version) = (1000, None);
        for part in parts {
            match part.split_once('=') {
                Some((name, value)) if name.trim().eq_ignore_ascii_case("q") => quality = parse_quality(value),
                Some((name, value)) if name.trim().eq_ignore_ascii_case("version") => {
                    version = Some(value.trim().trim_matches('"'));
                }
                _ => {}
            }
        }
        if media.eq_ignore_ascii_case("application/openmetrics-text") {
            if matches!(version, None | Some("1.0.0") | Some("0.0.1")) {
                open_metrics = open_metrics.max(quality);
            }
        } else if media.eq_ignore_ascii_case("text/plain") && matches!(version, None | Some("0.0.4")) {
            text = text.max(quality);
        }
    }
    if open_metrics > 0 && open_metrics >= text {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// Whether the value of `Accept-Encoding` allows gzip.
pub fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let (mut gzip, mut any) = (None, None);
    for item in accept_encoding.unwrap_or_default().split(',') {
        let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
        let quality = match parameters.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("q") => parse_quality(value),
            _ => 1000,
        };
        let coding = coding.trim();
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = Some(quality);
        } else if coding == "*" {
            any = Some(quality);
        }
    }
    gzip.or(any).is_some_and(|quality| quality > 0)
}

/// A `qvalue` in thousandths; what is no number from 0 to 1 counts as 0.
fn parse_quality(text: &str) -> u16 {
    match text.trim().parse::<f32>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0).round() as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_by_accept() {
        #[track_caller]
        fn check(accept: &str, format: Format) {
            assert_eq!(negotiate(Some(accept)), format, "{accept}");
        }
        assert_eq!(negotiate(None), Format::Text);
        check("", Format::Text);
        check("*/*", Format::Text);
        check("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text);
        check("application/json", Format::Text);
        check("application/openmetrics-text", Format::OpenMetrics);
        check("Application/OpenMetrics-Text; Version=1.0.0", Format::OpenMetrics);
        check("application/openmetrics-text;version=2.0.0", Format::Text);
        check("application/openmetrics-text;version=1.0.0;q=0", Format::Text);
        check(
            "application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.9",
            Format::Text,
        );
        check(
            "text/plain;q=0.5, application/openmetrics-text;q=0.5",
            Format::OpenMetrics,
        );
        check("application/openmetrics-text;q=x", Format::Text);
        // What Prometheus 2.42 and 3.5 send.
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format::OpenMetrics,
        );
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            Format::OpenMetrics,
        );
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,\
             text/plain;version=0.0.4;q=0.3",
            Format::Text,
        );
    }

    #[test]
    fn gzip_by_accept_encoding() {
        #[track_caller]
        fn check(header: &str, gzip: bool) {
            assert_eq!(accepts_gzip(Some(header)), gzip, "{header}");
        }
        assert!(!accepts_gzip(None));
        check("", false);
        check("gzip", true);
        check("GZIP", true);
        check("identity", false);
        check("deflate, gzip;q=0.5, br", true);
        check("gzip;q=0", false);
        check("gzip; q=0.0, *", false);
        check("*", true);
        check("*;q=0", false);
        check("gzip;q=junk", false);
    }
}
