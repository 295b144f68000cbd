//! The picture of the console in the README.

use std::fs;
use std::path::Path;

use crate::support::{console, end, example, send};

/// Makes `docs/console.png`: `cargo test -p boathouse-server --test browser -- --ignored picture`.
#[tokio::test]
#[ignore = "writes docs/console.png"]
async fn picture_for_the_readme() {
    let Some((world, mut page)) = console(&[example("it-support")]).await else { return };
    send(&mut page, "My computer is very slow").await;
    page.until("document.activeElement?.matches('.wait textarea')").await;
    page.write("The one in front of me, since this morning").await;
    page.press_enter(false).await;
    page.until("document.querySelector('.tools ~ .text.live')?.textContent.length > 20").await;
    let picture = decode(&page.picture().await);
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/console.png"), picture).unwrap();
    end(world, page).await;
}

/// Base64 as the browser writes it.
fn decode(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> =
        text.bytes().filter(|byte| *byte != b'=').map(|byte| u32::from(value(byte))).collect();
    digits
        .chunks(4)
        .flat_map(|chunk| {
            let bits =
                chunk.iter().enumerate().fold(0, |bits, (place, digit)| bits | digit << (18 - 6 * place));
            bits.to_be_bytes()[1..chunk.len()].to_vec()
        })
        .collect()
}
