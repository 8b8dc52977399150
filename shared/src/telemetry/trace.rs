//! W3C trace context: makes, reads and continues `traceparent`, so that one trace runs from HTTP through the broker to Postgres and Cal.com.
//!
//! Not an exporter (OpenTelemetry export is optional and off by default). Called by ingress, broker, workers and the API clients.

use std::fmt;

/// Length of a version-00 `traceparent`.
const TEXT_LEN: usize = 55;

/// One position in a trace: which trace, which span, whether it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
}

impl TraceParent {
    /// A new trace with its first span.
    #[must_use]
    pub fn generate() -> Self {
        Self { trace_id: random_nonzero(), span_id: random_nonzero(), sampled: true }
    }

    /// Reads a `traceparent`. `None` for anything malformed, so that a hostile header starts a trace of our own.
    /// A later version is read by its first four fields, as the specification asks.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fixed = text.get(..TEXT_LEN)?;
        let mut fields = fixed.split('-');
        let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let longer_ok = text.len() == TEXT_LEN || (version != "00" && text.as_bytes().get(TEXT_LEN) == Some(&b'-'));
        let lower_case = !fixed.bytes().any(|byte| byte.is_ascii_uppercase());
        if fields.next().is_some() || version.len() != 2 || version == "ff" || !longer_ok || !lower_case {
            return None;
        }
        let mut version_byte = [0_u8; 1];
        let mut parent = Self { trace_id: [0; 16], span_id: [0; 8], sampled: false };
        let mut flag_byte = [0_u8; 1];
        hex::decode_to_slice(version, &mut version_byte).ok()?;
        hex::decode_to_slice(trace, &mut parent.trace_id).ok()?;
        hex::decode_to_slice(span, &mut parent.span_id).ok()?;
        hex::decode_to_slice(flags, &mut flag_byte).ok()?;
        parent.sampled = flag_byte[0] & 1 == 1;
        (parent.trace_id != [0; 16] && parent.span_id != [0; 8]).then_some(parent)
    }

    /// Continues the given header if it is sound, else starts a new trace.
    #[must_use]
    pub fn continue_or_generate(header: Option<&str>) -> Self {
        header.and_then(Self::parse).map_or_else(Self::generate, Self::child)
    }

    /// The next span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: random_nonzero(), ..self }
    }

    /// The trace id as it stands in attempts and log fields: 32 hex digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        hex::encode(self.trace_id)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{}-{}-{:02x}", hex::encode(self.trace_id), hex::encode(self.span_id), u8::from(self.sampled))
    }
}

fn random_nonzero<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    rand::fill(&mut bytes);
    // All zeros means "invalid" in the specification; one draw in 2^64 would be that.
    if bytes.iter().all(|byte| *byte == 0) {
        bytes[0] = 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_survives_its_text_form() {
        assert_eq!(TraceParent::parse(SAMPLE).unwrap().to_string(), SAMPLE);
        let made = TraceParent::generate();
        assert_eq!(TraceParent::parse(&made.to_string()), Some(made));
    }

    #[test]
    fn a_child_stays_in_its_trace() {
        let parent = TraceParent::parse(SAMPLE).unwrap();
        let child = parent.child();
        assert_eq!(child.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_ne!(child, parent);
        assert_eq!(TraceParent::continue_or_generate(Some(SAMPLE)).trace_id(), parent.trace_id());
    }

    #[test]
    fn malformed_headers_start_a_new_trace() {
        let hostile = [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e47ö-00f067aa0ba902b7-01",
        ];
        for header in hostile {
            assert_eq!(TraceParent::parse(header), None, "{header}");
        }
        let of_the_future = format!("{}-more", SAMPLE.replacen("00", "01", 1));
        assert!(TraceParent::parse(&of_the_future).is_some());
    }
}
