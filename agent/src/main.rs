//! smoke
use onlooker::kernel::loader::*;
fn main() {
    let t = std::time::Instant::now();
    let mut k = load(std::path::Path::new("/sys"), &Options { ring_bytes: 4 << 20, connections: 16384, capture: match std::env::args().nth(1).as_deref() { Some("socket") => Some("socket"), Some("syscall") => Some("syscall"), _ => None }, trace: false }).unwrap();
    println!("{:?}", t.elapsed());
    for p in &k.probes { println!("{p:?}"); }
    for m in &k.maps { println!("{m:?}"); }
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while std::time::Instant::now() < end {
        while let Some(r) = k.ring.next() {
            match onlooker::probes::decode(&r) { Ok(Some((_, onlooker::signal::Signal::Payload(p)))) => println!("{:?} {:?} {} off {} total {} seq {:?} rtt {} {:?}|{:?}", p.conn, p.direction, p.role.as_str(), p.offset, p.total, p.seq, p.srtt_us, String::from_utf8_lossy(&p.prefix[..p.prefix.len().min(60)]), String::from_utf8_lossy(p.tail)), Ok(Some((_, s))) => println!("{s:?}"), Ok(None) => {}, Err(e) => println!("{e}") }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    println!("{:?}", k.counters.read());
}
