//! Names of container images: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`
//! (<https://pkg.go.dev/github.com/distribution/reference>).

/// An image's name, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image<'a> {
    /// Without tag and digest.
    pub(super) name: &'a str,
    pub(super) tag: Option<&'a str>,
    /// `ALGORITHM:HEX`.
    pub(super) digest: Option<&'a str>,
}

impl<'a> Image<'a> {
    /// Reads a name; `None` when it is none (runtimes give an image without a name by its digest alone).
    pub(super) fn parse(text: &'a str) -> Option<Image<'a>> {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        // A colon before a slash is that of a port.
        let (name, tag) = match named.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (named, None),
        };
        let unnamed = name.is_empty() || (name == "sha256" && digest.is_none());
        let filled = |part: &&str| !part.is_empty();
        (!unnamed).then_some(Image {
            name,
            tag: tag.filter(filled),
            digest: digest.filter(filled),
        })
    }

    /// `service.version` as the conventions have it: `TAG@DIGEST`, `DIGEST` or `TAG`.
    pub(super) fn version(self) -> Option<String> {
        match (self.tag, self.digest) {
            (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
            (one, other) => other.or(one).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        let check = |text: &str, name: &str, version: Option<&str>| {
            let image = Image::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((image.name, image.version().as_deref()), (name, version), "{text}");
        };
        check("shop", "shop", None);
        check("shop:1.2", "shop", Some("1.2"));
        check(
            "registry.example.com:5000/a/shop",
            "registry.example.com:5000/a/shop",
            None,
        );
        check(
            "registry.example.com:5000/shop:1.2",
            "registry.example.com:5000/shop",
            Some("1.2"),
        );
        check("shop@sha256:ab", "shop", Some("sha256:ab"));
        check("x/shop:1@sha256:ab", "x/shop", Some("1@sha256:ab"));
        check("shop:", "shop", None);
        for none in ["", "sha256:0123", ":1", "@sha256:ab"] {
            assert_eq!(Image::parse(none), None, "{none}");
        }
    }
}
