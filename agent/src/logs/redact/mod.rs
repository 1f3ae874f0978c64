//! Secrets and personal data out of bodies and attributes, before anything leaves the process.
//!
//! What is found is replaced by `[redacted:KIND]`, whole and without its length. A search for the few beginnings that secrets have
//! goes first ([`anchors`]), so that a line without any costs little. Redacting twice changes nothing more.
//!
//! What is found is what says so itself: by a name before it, by a prefix, by a checksum. A password in a sentence is not.

mod anchors;
mod card;
mod email;
mod named;
mod shapes;

use crate::trace::span::{Attribute, AttributeValue};
use anchors::Anchors;
use std::borrow::Cow;
use std::ops::Range;

/// Times that a text is gone through at most, when something is found each time.
const PASSES: usize = 4;

/// What is redacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Values of `authorization` headers, and bearer and basic credentials anywhere.
    Authorization,
    /// The password of `scheme://user:password@host`.
    UrlPassword,
    /// What stands behind a name such as `password`, `secret`, `token` or `api_key`.
    Secret,
    /// Ids of AWS access keys. Their secrets are found by name.
    AwsKey,
    /// Tokens of GitHub, GitLab, Slack, Stripe and others that have a prefix.
    Token,
    /// JSON web tokens.
    Jwt,
    /// Private keys in PEM.
    PrivateKey,
    /// Numbers of payment cards, by length, prefix and check digit.
    Card,
    /// Values of `cookie` and `set-cookie`.
    Cookie,
    /// E-mail addresses. Off by default: many systems name their users so.
    Email,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 10] = [
        Kind::Authorization,
        Kind::UrlPassword,
        Kind::Secret,
        Kind::AwsKey,
        Kind::Token,
        Kind::Jwt,
        Kind::PrivateKey,
        Kind::Card,
        Kind::Cookie,
        Kind::Email,
    ];

    /// Its name: of the setting, of the label, and within the replacement.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Authorization => "authorization",
            Kind::UrlPassword => "url-password",
            Kind::Secret => "secret",
            Kind::AwsKey => "aws-key",
            Kind::Token => "token",
            Kind::Jwt => "jwt",
            Kind::PrivateKey => "private-key",
            Kind::Card => "card",
            Kind::Cookie => "cookie",
            Kind::Email => "email",
        }
    }

    /// The kind of a name.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What stands for it.
    pub const fn replacement(self) -> &'static str {
        match self {
            Kind::Authorization => "[redacted:authorization]",
            Kind::UrlPassword => "[redacted:url-password]",
            Kind::Secret => "[redacted:secret]",
            Kind::AwsKey => "[redacted:aws-key]",
            Kind::Token => "[redacted:token]",
            Kind::Jwt => "[redacted:jwt]",
            Kind::PrivateKey => "[redacted:private-key]",
            Kind::Card => "[redacted:card]",
            Kind::Cookie => "[redacted:cookie]",
            Kind::Email => "[redacted:email]",
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// None.
    pub const NONE: Kinds = Kinds(0);

    /// With one more.
    pub const fn with(self, kind: Kind) -> Kinds {
        Kinds(self.0 | 1 << kind as u16)
    }
    /// With one less.
    pub const fn without(self, kind: Kind) -> Kinds {
        Kinds(self.0 & !(1 << kind as u16))
    }
    /// Whether one is there.
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }
}

/// All but e-mail addresses.
impl Default for Kinds {
    fn default() -> Kinds {
        Kind::ALL
            .into_iter()
            .fold(Kinds::NONE, Kinds::with)
            .without(Kind::Email)
    }
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    range: Range<usize>,
    kind: Kind,
}

/// Takes secrets out of texts.
#[derive(Clone, Debug)]
pub struct Redactor {
    kinds: Kinds,
    anchors: &'static Anchors,
    counts: [u64; Kind::ALL.len()],
    found: Vec<Found>,
}

impl Redactor {
    /// For some kinds.
    pub fn new(kinds: Kinds) -> Redactor {
        Redactor {
            kinds,
            anchors: anchors::shared(),
            counts: [0; Kind::ALL.len()],
            found: Vec::new(),
        }
    }

    /// How often each kind was found.
    pub fn counts(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.into_iter().zip(self.counts)
    }

    /// A body and its attributes.
    pub fn record(&mut self, body: &mut String, attributes: &mut [Attribute]) {
        self.text(body);
        for (name, value) in attributes {
            self.value(name, value);
        }
    }

    /// A text, in place. True when something was found.
    pub fn text(&mut self, text: &mut String) -> bool {
        let mut changed = false;
        // What was hidden may have stood in the way of something: once more, until nothing is found.
        for _ in 0..PASSES {
            let Some(clean) = self.redacted(text) else { break };
            *text = clean;
            changed = true;
        }
        changed
    }

    /// An attribute's value: all of it when the name says that it is a secret, else what is one within.
    pub fn value(&mut self, name: &str, value: &mut AttributeValue) {
        if let Some(kind) = named::of_attribute(name).filter(|kind| self.kinds.has(*kind)) {
            let secret = match value {
                AttributeValue::Text(text) => named::is_secret(text),
                AttributeValue::Int(_) | AttributeValue::Double(_) => true,
                AttributeValue::Bool(_) => false,
                AttributeValue::Texts(texts) => texts.iter().any(|text| named::is_secret(text)),
            };
            if secret {
                self.counts[kind as usize] += 1;
                *value = AttributeValue::Text(Cow::Borrowed(kind.replacement()));
            }
            return;
        }
        match value {
            // A text of the agent itself has no secrets.
            AttributeValue::Text(Cow::Borrowed(_)) | AttributeValue::Bool(_) | AttributeValue::Double(_) => {}
            AttributeValue::Text(Cow::Owned(text)) => {
                self.text(text);
            }
            AttributeValue::Texts(texts) => texts.iter_mut().for_each(|text| {
                self.text(text);
            }),
            AttributeValue::Int(number) => {
                if *number >= 1_000_000_000_000 && self.kinds.has(Kind::Card) && card::is_number(*number) {
                    self.counts[Kind::Card as usize] += 1;
                    *value = AttributeValue::Text(Cow::Borrowed(Kind::Card.replacement()));
                }
            }
        }
    }

    /// The text without secrets, or `None` when there are none.
    fn redacted(&mut self, text: &str) -> Option<String> {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        let kinds = self.kinds;
        self.anchors.find(text.as_bytes(), |at| {
            // Within a secret there is nothing more to find, and looking would cost the square of its length.
            if found.last().is_none_or(|one| one.range.end <= at) {
                named::find(text, at, kinds, &mut found);
                shapes::find(text, at, kinds, &mut found);
            }
        });
        if self.kinds.has(Kind::UrlPassword) {
            shapes::urls(text, &mut found);
        }
        if self.kinds.has(Kind::Card) {
            card::find(text.as_bytes(), &mut found);
        }
        if self.kinds.has(Kind::Email) {
            email::find(text, &mut found);
        }
        let clean = (!found.is_empty()).then(|| self.replace(text, &mut found));
        self.found = found;
        clean
    }

    /// Replaces all that was found; what overlaps is one, of the kind of the first.
    fn replace(&mut self, text: &str, found: &mut [Found]) -> String {
        found.sort_by_key(|one| (one.range.start, std::cmp::Reverse(one.range.end)));
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        let mut rest = found.iter().peekable();
        while let Some(one) = rest.next() {
            let mut end = one.range.end;
            while let Some(next) = rest.next_if(|next| next.range.start < end) {
                end = end.max(next.range.end);
            }
            out.push_str(text.get(at..one.range.start).unwrap_or_default());
            out.push_str(one.kind.replacement());
            self.counts[one.kind as usize] += 1;
            at = end;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }
}

impl Default for Redactor {
    fn default() -> Redactor {
        Redactor::new(Kinds::default())
    }
}

#[cfg(test)]
mod tests;
