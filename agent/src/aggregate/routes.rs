//! Routes of one service in one role: from the path that was asked for to the template it belongs to, where the framework's
//! own route is not known.
//!
//! A path is split into segments, each is kept or replaced by its looks ([`template`]), and the result is found in a tree. A
//! place of the tree that has shown too many words takes every later word as a value. Memory is bounded by the cap of routes:
//! nothing is added to the tree without a route at its end.

use super::template;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::sync::Arc;

/// The route of everything that has no other.
pub(crate) const OTHER: &str = "_OTHER";

/// Segments that are kept; the others are `{rest}`.
const DEPTH: usize = 8;

/// Limits of a [`Routes`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteLimits {
    /// Routes to be had at a time.
    pub(crate) routes: usize,
    /// Different words in one place before it takes all as values; three times as many in the first place.
    pub(crate) words: usize,
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routed {
    /// It has this route.
    Known(u32),
    /// The cap is reached; the route is [`OTHER_ROUTE`].
    Refused,
}

/// The index of [`OTHER`], never expired.
pub(crate) const OTHER_ROUTE: u32 = 0;
/// The index of the empty route, of exchanges whose protocol has none; never expired.
pub(crate) const NO_ROUTE: u32 = 1;

/// See the module.
#[derive(Debug)]
pub(crate) struct Routes {
    limits: RouteLimits,
    root: Node,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    other: Arc<str>,
    /// Routes that are still to be reached through the tree.
    reachable: usize,
}

#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    seen: u64,
    reachable: bool,
}

#[derive(Debug, Default)]
struct Node {
    children: FxHashMap<Box<str>, Node>,
    /// Words among the children (the others are placeholders).
    words: usize,
    /// Every word is a value here.
    collapsed: bool,
    route: Option<u32>,
}

impl Routes {
    pub(crate) fn new(limits: RouteLimits) -> Routes {
        let fixed = |name: &str| {
            Some(Slot {
                name: name.into(),
                seen: u64::MAX,
                reachable: false,
            })
        };
        Routes {
            limits,
            root: Node::default(),
            slots: vec![fixed(OTHER), fixed("")],
            free: Vec::new(),
            other: OTHER.into(),
            reachable: 0,
        }
    }

    /// Name of a route.
    pub(crate) fn name(&self, route: u32) -> &Arc<str> {
        match self.slots.get(route as usize) {
            Some(Some(slot)) => &slot.name,
            _ => &self.other,
        }
    }

    /// Notes that the route was used at `now`.
    pub(crate) fn touch(&mut self, route: u32, now: u64) {
        if let Some(Some(slot)) = self.slots.get_mut(route as usize) {
            slot.seen = slot.seen.max(now);
        }
    }

    /// Routes that exist, those no longer reachable included.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len() - 2
    }

    /// Finds or makes the route of a target. The second value: what was found for other targets may have changed.
    pub(crate) fn route(&mut self, target: &str, now: u64) -> (Routed, bool) {
        let path = path_of(target);
        let mut segments: [Cow<'_, str>; DEPTH + 1] = std::array::from_fn(|_| Cow::Borrowed(""));
        let mut count = 0;
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next() {
            if count == DEPTH {
                segments[count] = Cow::Borrowed("{rest}");
                count += 1;
                break;
            }
            segments[count] = template::segment(part);
            count += 1;
            if parts.peek().is_none() && path.ends_with('/') {
                // A trailing slash is another route to most frameworks.
                if let Some(slot) = segments.get_mut(count) {
                    *slot = Cow::Borrowed("/");
                    count += 1;
                }
            }
        }
        let segments = &mut segments[..count];
        let changed = self.collapse(segments);
        if let Some(route) = self.find(segments) {
            self.touch(route, now);
            return (Routed::Known(route), changed);
        }
        if self.reachable >= self.limits.routes {
            return (Routed::Refused, changed);
        }
        let route = self.insert(segments, path.starts_with('/') || path.is_empty(), now);
        (Routed::Known(route), changed)
    }

    /// Follows the segments down the tree, replaces those that stand at a collapsed place, and collapses the place where this
    /// path would add a word too many.
    fn collapse(&mut self, segments: &mut [Cow<'_, str>]) -> bool {
        let mut changed = false;
        let mut node = &mut self.root;
        for (depth, segment) in segments.iter_mut().enumerate() {
            if is_word(segment) && !node.collapsed && !node.children.contains_key(&**segment) {
                let limit = if depth == 0 {
                    self.limits.words * 3
                } else {
                    self.limits.words
                };
                if node.words >= limit {
                    node.collapsed = true;
                    node.words = 0;
                    node.children.retain(|name, child| {
                        let keep = !is_word(name);
                        if !keep {
                            self.reachable -= child.detach(&mut self.slots);
                        }
                        keep
                    });
                    changed = true;
                }
            }
            if node.collapsed && is_word(segment) {
                *segment = match template::file_extension(segment) {
                    Some((_, extension)) => format!("{{file}}.{extension}").into(),
                    None => Cow::Borrowed("{id}"),
                };
            }
            match node.children.get_mut(&**segment) {
                Some(child) => node = child,
                None => break,
            }
        }
        changed
    }

    fn find(&self, segments: &[Cow<'_, str>]) -> Option<u32> {
        let mut node = &self.root;
        for segment in segments {
            node = node.children.get(&**segment)?;
        }
        node.route
    }

    fn insert(&mut self, segments: &[Cow<'_, str>], rooted: bool, now: u64) -> u32 {
        let mut name = String::new();
        let mut node = &mut self.root;
        for segment in segments {
            if &**segment == "/" {
                name.push('/');
            } else {
                if rooted || !name.is_empty() {
                    name.push('/');
                }
                name.push_str(segment);
            }
            if !node.children.contains_key(&**segment) {
                node.words += usize::from(is_word(segment));
            }
            node = node.children.entry((&**segment).into()).or_default();
        }
        if name.is_empty() {
            name.push('/');
        }
        let slot = Some(Slot {
            name: name.into(),
            seen: now,
            reachable: true,
        });
        let route = match self.free.pop() {
            Some(route) => {
                self.slots[route as usize] = slot;
                route
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        node.route = Some(route);
        self.reachable += 1;
        route
    }

    /// Forgets the routes that were not used since `since`, and says whether there were any.
    pub(crate) fn expire(&mut self, since: u64) -> bool {
        let before = self.free.len();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if let Some(old) = slot.as_ref().filter(|slot| slot.seen < since) {
                self.reachable -= usize::from(old.reachable);
                *slot = None;
                self.free.push(index as u32);
            }
        }
        let any = self.free.len() > before;
        if any {
            self.root.prune(&self.slots);
        }
        any
    }
}

impl Node {
    /// Marks all routes below as no longer reachable; returns how many.
    fn detach(&self, slots: &mut [Option<Slot>]) -> usize {
        let mut count = 0;
        if let Some(Some(slot)) = self.route.map(|route| &mut slots[route as usize]) {
            slot.reachable = false;
            count += 1;
        }
        count + self.children.values().map(|child| child.detach(slots)).sum::<usize>()
    }

    /// Drops routes that are gone and branches without any; says whether something is left.
    fn prune(&mut self, slots: &[Option<Slot>]) -> bool {
        if self.route.is_some_and(|route| slots[route as usize].is_none()) {
            self.route = None;
        }
        self.children.retain(|name, child| {
            let keep = child.prune(slots);
            self.words -= usize::from(!keep && is_word(name));
            keep
        });
        self.route.is_some() || !self.children.is_empty()
    }
}

/// Neither a placeholder nor the mark of a trailing slash.
fn is_word(segment: &str) -> bool {
    segment != "/" && !segment.contains('{')
}

/// The path alone: without query, fragment, scheme and authority.
fn path_of(target: &str) -> &str {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    let target = &target[..end];
    match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RouteLimits = RouteLimits { routes: 50, words: 10 };

    fn route(routes: &mut Routes, target: &str) -> String {
        match routes.route(target, 1).0 {
            Routed::Known(route) => routes.name(route).to_string(),
            Routed::Refused => OTHER.to_owned(),
        }
    }

    #[test]
    fn templates_of_targets() {
        #[track_caller]
        fn check(target: &str, expect: &str) {
            assert_eq!(route(&mut Routes::new(LIMITS), target), expect, "{target}");
        }
        check("/", "/");
        check("", "/");
        check("*", "*");
        check("/users", "/users");
        check("/users/", "/users/");
        check("/users/42", "/users/{id}");
        check("/users/42/orders/7", "/users/{id}/orders/{id}");
        check("//users//42", "/users/{id}");
        check("/a?token=secret", "/a");
        check("/a#fragment", "/a");
        check("http://example.org/a/1?b=c", "/a/{id}");
        check("http://example.org", "/");
        check("http://example.org?x=y", "/");
        check("example.org:443", "example.org:443");
        check("/go?to=http://example.org/", "/go");
        check("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/{rest}");
        check("/a/b/c/d/e/f/g/h/", "/a/b/c/d/e/f/g/h/");
        check("/static/app.3f2a9c81.js", "/static/app.{hash}.js");
        check("/%ff%fe/x", "/{token}/x");
        check("package.Service/Method", "package.Service/Method");
    }

    #[test]
    fn a_place_with_too_many_words_takes_them_as_values() {
        let mut routes = Routes::new(LIMITS);
        let names = ["ann", "bob", "cat", "dan", "eve", "fay", "guy", "hal", "ida", "jon"];
        for name in names {
            assert_eq!(
                route(&mut routes, &format!("/users/{name}/home")),
                format!("/users/{name}/home")
            );
        }
        assert_eq!(routes.reachable, 10);
        assert_eq!(route(&mut routes, "/users/kim/home"), "/users/{id}/home");
        assert_eq!(routes.reachable, 1);
        // The earlier ones too, from now on, and other places are as they were.
        assert_eq!(route(&mut routes, "/users/ann/home"), "/users/{id}/home");
        assert_eq!(route(&mut routes, "/users/42/home"), "/users/{id}/home");
        assert_eq!(route(&mut routes, "/users/logo.png"), "/users/{file}.png");
        assert_eq!(route(&mut routes, "/about/us"), "/about/us");
        // What is no longer reachable is forgotten when its time comes.
        assert_eq!(routes.len(), 13);
        routes.touch(12, 9);
        assert!(routes.expire(5));
        assert_eq!(routes.len(), 1);
    }

    #[test]
    fn the_cap_holds_and_is_given_back() {
        let mut routes = Routes::new(LIMITS);
        for first in 0..5u8 {
            for second in 0..10u8 {
                let target = format!("/{}/{}", (b'a' + first) as char, (b'a' + second) as char);
                assert_eq!(route(&mut routes, &target), target);
            }
        }
        assert_eq!(routes.route("/z/z", 2).0, Routed::Refused);
        assert_eq!(route(&mut routes, "/a/a"), "/a/a");
        assert_eq!(routes.len(), 50);
        assert!(routes.expire(2));
        assert_eq!((routes.len(), routes.reachable, routes.root.children.len()), (0, 0, 0));
        assert_eq!(route(&mut routes, "/z/z"), "/z/z");
        assert_eq!(&**routes.name(OTHER_ROUTE), OTHER);
    }

    #[test]
    fn any_target_is_safe() {
        let config = proptest::test_runner::Config::with_cases(48);
        proptest::proptest!(config, |(targets in proptest::collection::vec(".{0,60}", 1..60))| {
            let mut routes = Routes::new(RouteLimits { routes: 20, words: 3 });
            for target in &targets {
                let name = route(&mut routes, target);
                proptest::prop_assert!(!name.contains('?'));
                proptest::prop_assert!(routes.reachable <= 20);
            }
            routes.expire(u64::MAX - 1);
            proptest::prop_assert_eq!(routes.len(), 0);
            proptest::prop_assert_eq!(routes.reachable, 0);
            proptest::prop_assert!(routes.root.children.is_empty());
        });
    }
}
