//! Reads the kernel's type information (BTF, `Documentation/bpf/btf.rst`): offsets of struct members, names of
//! tracepoints. Reads `/sys/kernel/btf/vmlinux`; see `docs/decisions/2026-11-21-own-btf-reader.md` for why this is our own.

#[cfg(test)]
mod snapshots;

use rustc_hash::FxHashMap;
use std::path::Path;

/// Type information of a kernel.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    /// Byte offset of each `struct btf_type`; index is the type id, 0 is `void`.
    types: Vec<u32>,
    strings: usize,
}

/// Where a member lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the outermost struct.
    pub offset: u32,
    /// Bytes of its type.
    pub size: u32,
    /// It is a bit field (its offset is that of the byte where it begins).
    pub bit_field: bool,
}

/// What is wrong with the type information.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// It cannot be read.
    #[error(
        "cannot read the kernel's type information {path}: {source}; onlooker needs a kernel built with CONFIG_DEBUG_INFO_BTF=y (5.8 or later, as all current distributions ship)"
    )]
    Read {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not BTF.
    #[error("the kernel's type information is not valid BTF: {0}")]
    Invalid(&'static str),
    /// A struct is not there.
    #[error("no struct {0}")]
    NoStruct(String),
    /// A member is not there.
    #[error("struct {0} has no member {1}")]
    NoMember(String, String),
}

mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

const MAGIC: u16 = 0xeb9f;
/// Nested types deeper than this are refused: the data is not trusted.
const DEPTH: usize = 32;
/// Members looked at for one name, unnamed structs and unions included; the largest struct of a kernel has below 1000. Unnamed
/// members that hold each other would take the search for ever.
const STEPS: u32 = 20_000;

impl Btf {
    /// Reads a BTF file.
    ///
    /// # Errors
    /// [`BtfError::Read`] when it cannot be read, [`BtfError::Invalid`] when it is not BTF.
    pub fn read(path: &Path) -> Result<Btf, BtfError> {
        let data = std::fs::read(path).map_err(|source| BtfError::Read {
            path: path.display().to_string(),
            source,
        })?;
        Btf::parse(data)
    }

    /// Indexes BTF.
    ///
    /// # Errors
    /// [`BtfError::Invalid`] with what is wrong.
    pub fn parse(data: Vec<u8>) -> Result<Btf, BtfError> {
        let header = |at: usize| word(&data, at).ok_or(BtfError::Invalid("header is cut short"));
        if header(0)? & 0xffff != u32::from(MAGIC) {
            return Err(BtfError::Invalid("wrong magic number (or foreign byte order)"));
        }
        let length = header(4)? as usize;
        let start = length.saturating_add(header(8)? as usize);
        let end = start.saturating_add(header(12)? as usize);
        let strings = length.saturating_add(header(16)? as usize);
        let strings_end = strings.saturating_add(header(20)? as usize);
        if end > data.len() || strings_end > data.len() {
            return Err(BtfError::Invalid("sections reach beyond the end"));
        }
        let mut types = Vec::with_capacity((end - start) / 24 + 1);
        types.push(0);
        let mut at = start;
        while at < end {
            types.push(at as u32);
            let info = word(&data, at + 4).ok_or(BtfError::Invalid("a type is cut short"))?;
            let count = (info & 0xffff) as usize;
            at += 12
                + match info >> 24 & 0x1f {
                    kind::INT | kind::VAR | kind::DECL_TAG => 4,
                    kind::ARRAY => 12,
                    kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => count * 12,
                    kind::ENUM | kind::FUNC_PROTO => count * 8,
                    kind::PTR
                    | kind::FWD
                    | kind::TYPEDEF
                    | kind::VOLATILE
                    | kind::CONST
                    | kind::RESTRICT
                    | kind::FUNC
                    | kind::FLOAT
                    | kind::TYPE_TAG => 0,
                    _ => return Err(BtfError::Invalid("unknown kind of type (a newer kernel's?)")),
                };
        }
        if at != end {
            return Err(BtfError::Invalid("a type is cut short"));
        }
        Ok(Btf { data, types, strings })
    }

    /// Ids of the named structs, those found, in one pass.
    pub fn structs<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> FxHashMap<&'n str, u32> {
        let wanted: FxHashMap<&[u8], &'n str> = names.into_iter().map(|name| (name.as_bytes(), name)).collect();
        let mut found = FxHashMap::default();
        for id in 1..self.types.len() as u32 {
            // A struct without members is a forward declaration in all but name.
            if self.kind(id) != kind::STRUCT || self.info(id) & 0xffff == 0 {
                continue;
            }
            if let Some(name) = wanted.get(self.name(id)) {
                found.entry(*name).or_insert(id);
            }
        }
        found
    }

    /// Names of all tracepoints that tp_btf programs may attach to (`btf_trace_NAME` is the type of each).
    pub fn tracepoints(&self) -> Vec<String> {
        (1..self.types.len() as u32)
            .filter(|id| self.kind(*id) == kind::TYPEDEF)
            .filter_map(|id| self.name(id).strip_prefix(b"btf_trace_"))
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect()
    }

    /// Id of a function of the kernel.
    pub fn function(&self, name: &str) -> Option<u32> {
        (1..self.types.len() as u32).find(|id| self.kind(*id) == kind::FUNC && self.name(*id) == name.as_bytes())
    }

    /// BTF in which only the types of these tracepoints and the functions of these iterators have a name and every type keeps its
    /// id: what a loader needs to find their ids, in a tenth of the memory.
    pub fn abridged(&self, tracepoints: &[&str], iterators: &[&str]) -> Vec<u8> {
        let mut types: Vec<u8> = Vec::with_capacity(self.types.len() * 12);
        let mut strings = vec![0u8];
        for id in 1..self.types.len() as u32 {
            let (prefix, names) = match self.kind(id) {
                kind::TYPEDEF => (&b"btf_trace_"[..], tracepoints),
                kind::FUNC => (&b"bpf_iter_"[..], iterators),
                _ => (&b""[..], &[][..]),
            };
            let wanted = !names.is_empty()
                && (self.name(id).strip_prefix(prefix))
                    .is_some_and(|name| names.iter().any(|wanted| wanted.as_bytes() == name));
            let (name, kind) = if wanted {
                let at = strings.len() as u32;
                strings.extend_from_slice(self.name(id));
                strings.push(0);
                (at, self.kind(id))
            } else {
                (0, kind::PTR)
            };
            for word in [name, kind << 24, 0] {
                types.extend_from_slice(&word.to_le_bytes());
            }
        }
        let (length, end) = (types.len() as u32, strings.len() as u32);
        let header = [u32::from(MAGIC) | 1 << 16, 24, 0, length, length, end];
        let header = header.iter().flat_map(|word| word.to_le_bytes());
        header.chain(types).chain(strings).collect()
    }

    /// Where `path` (`a.b.c` through embedded structs and unions, named or not) lies in struct `id`.
    pub fn member(&self, id: u32, path: &str) -> Option<Member> {
        let (mut at, mut bits) = (id, 0u32);
        let mut last = (0, 0);
        for name in path.split('.') {
            let mut steps = STEPS;
            let (offset, of, width) = self.find(self.resolve(at), name.as_bytes(), 0, &mut steps)?;
            bits = bits.checked_add(offset)?;
            at = of;
            last = (of, width);
        }
        Some(Member {
            offset: bits / 8,
            size: self.size(last.0, 0),
            bit_field: last.1 != 0,
        })
    }

    /// (bit offset, type, width of a bit field or 0) of a member, also inside unnamed members.
    fn find(&self, id: u32, name: &[u8], depth: usize, steps: &mut u32) -> Option<(u32, u32, u32)> {
        if depth > DEPTH || !matches!(self.kind(id), kind::STRUCT | kind::UNION) {
            return None;
        }
        let at = self.at(id);
        let info = self.info(id);
        let packed = info >> 31 == 1;
        for i in 0..(info & 0xffff) as usize {
            *steps = steps.checked_sub(1)?;
            let member = at + 12 + i * 12;
            let (text, of, offset) = (self.word(member), self.word(member + 4), self.word(member + 8));
            let (bits, width) = if packed {
                (offset & 0xff_ffff, offset >> 24)
            } else {
                (offset, 0)
            };
            if text != 0 {
                if self.text(text) == name {
                    return Some((bits, of, width));
                }
            } else if let Some((inner, of, width)) = self.find(self.resolve(of), name, depth + 1, steps) {
                return Some((bits.checked_add(inner)?, of, width));
            }
        }
        None
    }

    /// Behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> u32 {
        for _ in 0..DEPTH {
            match self.kind(id) {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = self.word(self.at(id) + 8);
                }
                _ => break,
            }
        }
        id
    }

    fn size(&self, id: u32, depth: usize) -> u32 {
        let id = self.resolve(id);
        let at = self.at(id);
        match self.kind(id) {
            kind::PTR => 8,
            kind::ARRAY if depth < DEPTH => self
                .size(self.word(at + 12), depth + 1)
                .saturating_mul(self.word(at + 20)),
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::FLOAT => self.word(at + 8),
            _ => 0,
        }
    }

    fn at(&self, id: u32) -> usize {
        self.types.get(id as usize).map_or(0, |at| *at as usize)
    }
    fn info(&self, id: u32) -> u32 {
        self.word(self.at(id) + 4)
    }
    fn kind(&self, id: u32) -> u32 {
        if id == 0 || id as usize >= self.types.len() {
            0
        } else {
            self.info(id) >> 24 & 0x1f
        }
    }
    fn name(&self, id: u32) -> &[u8] {
        self.text(self.word(self.at(id)))
    }
    fn text(&self, offset: u32) -> &[u8] {
        let rest = self
            .data
            .get(self.strings.saturating_add(offset as usize)..)
            .unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }
    fn word(&self, at: usize) -> u32 {
        word(&self.data, at).unwrap_or(0)
    }
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hand-made kernel: `struct inner { int a; union { long b; int c; }; }`, `struct outer { struct inner x; inner_t *p; }`.
    fn sample() -> Vec<u8> {
        let mut strings = vec![0u8];
        let mut text = |s: &str| {
            let at = strings.len() as u32;
            strings.extend_from_slice(s.as_bytes());
            strings.push(0);
            at
        };
        let (int, long, inner, outer) = (text("int"), text("long"), text("inner"), text("outer"));
        let (a, b, c, x, p, trace) = (
            text("a"),
            text("b"),
            text("c"),
            text("x"),
            text("p"),
            text("btf_trace_sys_exit"),
        );
        let mut types: Vec<u32> = vec![];
        let info = |kind: u32, count: u32| kind << 24 | count;
        types.extend([int, info(kind::INT, 0), 4, 0]); // 1
        types.extend([long, info(kind::INT, 0), 8, 0]); // 2
        types.extend([0, info(kind::UNION, 2), 8, b, 2, 0, c, 1, 0]); // 3
        types.extend([inner, info(kind::STRUCT, 2), 16, a, 1, 0, 0, 3, 64]); // 4
        types.extend([0, info(kind::PTR, 0), 4]); // 5
        types.extend([outer, info(kind::STRUCT, 2), 24, x, 4, 0, p, 5, 128]); // 6
        types.extend([trace, info(kind::TYPEDEF, 0), 5]); // 7
        let mut data = vec![];
        let type_bytes = types.len() as u32 * 4;
        for value in [
            u32::from(MAGIC) | 1 << 16,
            24,
            0,
            type_bytes,
            type_bytes,
            strings.len() as u32,
        ] {
            data.extend(value.to_le_bytes());
        }
        data.extend(types.iter().flat_map(|value| value.to_le_bytes()));
        data.extend(strings);
        data
    }

    #[test]
    fn members_are_found_through_named_and_unnamed_structs() {
        let btf = Btf::parse(sample()).unwrap();
        let ids = btf.structs(["inner", "outer", "nobody"]);
        assert_eq!(ids.len(), 2);
        let check = |of: &str, path: &str, expect: Option<(u32, u32)>| {
            assert_eq!(
                btf.member(ids[of], path).map(|m| (m.offset, m.size)),
                expect,
                "{of}.{path}"
            );
        };
        check("inner", "a", Some((0, 4)));
        check("inner", "b", Some((8, 8)));
        check("inner", "c", Some((8, 4)));
        check("outer", "x.c", Some((8, 4)));
        check("outer", "x", Some((0, 16)));
        check("outer", "p", Some((16, 8)));
        check("outer", "x.nobody", None);
        check("outer", "p.a", None);
        assert_eq!(btf.tracepoints(), ["sys_exit"]);
        let short = Btf::parse(btf.abridged(&["sys_exit", "nobody"], &[])).unwrap();
        assert_eq!(short.tracepoints(), ["sys_exit"]);
        assert_eq!(short.types.len(), btf.types.len());
        assert_eq!(short.name(7), btf.name(7));
        assert!(short.structs(["inner"]).is_empty());
    }

    /// Found by fuzzing: `struct s { struct s; … ; struct s; }` took 64 to the power of 32 steps.
    #[test]
    fn structs_that_hold_themselves_do_not_take_the_search_for_ever() {
        let strings = b"\0s\0";
        let mut types = vec![1, kind::STRUCT << 24 | 64, 8];
        types.extend([0u32, 1, 0].repeat(64));
        let bytes = types.len() as u32 * 4;
        let header = [u32::from(MAGIC) | 1 << 16, 24, 0, bytes, bytes, strings.len() as u32];
        let words = header.into_iter().chain(types).flat_map(u32::to_le_bytes);
        let btf = Btf::parse(words.chain(*strings).collect()).unwrap();
        assert_eq!(btf.member(btf.structs(["s"])["s"], "nobody"), None);
    }

    #[test]
    fn any_damage_is_an_error_or_an_absence_never_a_panic() {
        let good = sample();
        for cut in 0..good.len() {
            if let Ok(btf) = Btf::parse(good[..cut].to_vec()) {
                let _ = btf.structs(["outer"]);
            }
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(btf) = Btf::parse(bad) {
                    for id in btf.structs(["outer", "inner"]).into_values() {
                        let _ = btf.member(id, "x.c");
                    }
                    let _ = btf.tracepoints();
                }
            }
        }
    }
}
