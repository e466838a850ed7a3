//! How this box calls others over HTTP: what all calls have in common, wherever they lead.
//!
//! An answer sends nobody elsewhere, because what is shown to one server is shown to no other; and the proxy is the one
//! that the configuration names, never one of the environment.

use reqwest::{ClientBuilder, redirect};

/// The beginning of every client of this program.
pub fn builder() -> ClientBuilder {
    ClientBuilder::new().redirect(redirect::Policy::none()).no_proxy()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn whoever_is_sent_elsewhere_does_not_go_there() {
        let here = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let to = elsewhere.local_addr().unwrap();
        let url = format!("http://{}/", here.local_addr().unwrap());
        let client = builder().build().unwrap();
        for status in [301, 302, 303, 307, 308] {
            let answering = async {
                let (mut stream, _) = here.accept().await.unwrap();
                let mut piece = [0; 4096];
                assert!(stream.read(&mut piece).await.unwrap() > 0);
                let answer = format!(
                    "HTTP/1.1 {status} Elsewhere\r\nLocation: http://{to}/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            let (answer, ()) = tokio::join!(client.get(&url).send(), answering);
            assert_eq!(answer.unwrap().status().as_u16(), status);
            let refused = elsewhere.accept().unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
        }
    }
}
