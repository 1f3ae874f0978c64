//! Every call of the read and write family, on both ends of a connection.

use onlooker_tests::agent::shared;
use onlooker_tests::case::{Role, expect, expect_body_sizes, expect_durations};
use onlooker_tests::need;
use onlooker_tests::require::Need;
use onlooker_tests::servers::syscall_pair;

fn check(family: &str) {
    shared();
    let pair = syscall_pair(family, 200).unwrap();
    let log = pair.server.log.wait(200).unwrap();
    expect(&pair.server.service, Role::Server, &log);
    expect(&pair.client, Role::Client, &pair.asked);
    expect_body_sizes(&pair.server.service, Role::Server, &log);
    expect_body_sizes(&pair.client, Role::Client, &pair.asked);
    expect_durations(&pair.server.service, Role::Server, &log, 0.000_3);
    expect_durations(&pair.client, Role::Client, &pair.asked, 0.000_3);
}

macro_rules! families {
    ($($name:ident $family:literal $text:literal;)*) => {$(
        #[doc = $text]
        #[test]
        fn $name() {
            need!(Need::Agent);
            check($family);
        }
    )*};
}

families! {
    read_write "read-write" "`read` and `write`.";
    readv_writev "readv-writev" "`readv` and `writev`, with the head over two vectors.";
    preadv2_pwritev2 "preadv2-pwritev2" "`preadv2` and `pwritev2` without an offset.";
    recvfrom_sendto "recvfrom-sendto" "`recvfrom` and `sendto`.";
    recvmsg_sendmsg "recvmsg-sendmsg" "`recvmsg` and `sendmsg`, with the head over two vectors.";
    recvmmsg_sendmmsg "recvmmsg-sendmmsg" "`recvmmsg` and `sendmmsg`, with the head over two messages.";
    sendfile "sendfile" "Bodies by `sendfile`.";
    splice "splice" "Bodies by `splice`, in and out.";
    peek "peek" "A look with `MSG_PEEK` before each read counts nothing twice.";
}
