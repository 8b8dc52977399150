use std::sync::Arc; use std::time::*; use std::sync::atomic::*;
use tokio::io::*; use hmac::{Hmac,KeyInit,Mac}; use sha2::Sha256;
use shared::broker::*; use shared::envelope::*; use shared::clock::Clock;
async fn load(addr:String,path:String,key:String,secs:u64)->f64{
  let n=Arc::new(AtomicU64::new(0)); let bad=Arc::new(AtomicU64::new(0)); let end=Instant::now()+Duration::from_secs(secs);
  let mut hs=vec![]; for k in 0..64u64{ let(addr,path,key,n,bad)=(addr.clone(),path.clone(),key.clone(),n.clone(),bad.clone());
   hs.push(tokio::spawn(async move{ let mut s=tokio::net::TcpStream::connect(&addr).await.unwrap(); s.set_nodelay(true).unwrap(); let mut i=0u64; let mut buf=vec![0u8;4096];
    while Instant::now()<end { i+=1; let body=format!("{{\"triggerEvent\":\"BOOKING_CREATED\",\"payload\":{{\"uid\":\"u{k}-{i}-{:?}\",\"x\":\"{}\"}}}}",end,"y".repeat(1900));
     let mut m=Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap(); m.update(body.as_bytes()); let d=hex::encode(m.finalize().into_bytes());
     let req=format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-cal-signature-256: {d}\r\ncontent-length: {}\r\n\r\n{body}",body.len());
     s.write_all(req.as_bytes()).await.unwrap(); let mut got=0; loop{ let r=s.read(&mut buf[got..]).await.unwrap(); got+=r; if r==0||buf[..got].windows(4).any(|w|w==b"\r\n\r\n"){break} }
     if &buf[9..11]==b"20"{n.fetch_add(1,Ordering::Relaxed);}else{bad.fetch_add(1,Ordering::Relaxed);} } })); }
  for h in hs{h.await.unwrap();} if bad.load(Ordering::Relaxed)>0{eprintln!("bad {}",bad.load(Ordering::Relaxed));} n.load(Ordering::Relaxed) as f64/secs as f64 }
#[tokio::main] async fn main(){ let a:Vec<String>=std::env::args().collect();
 if a[1]=="bare"{ let p=Publisher::start(PublisherConfig{amqp_url:std::env::var("AMQP_URL").unwrap(),connection_name:"bare".into(),in_flight_max:512,confirm_timeout:Duration::from_secs(2)},Clock::system());
  let key=Arc::new(a[2].clone()); let app=axum::Router::new().route("/{id}",axum::routing::post(move|axum::extract::Path(_id):axum::extract::Path<String>,h:axum::http::HeaderMap,b:bytes::Bytes|{let p=p.clone();let key=key.clone();async move{
   let mut m=Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap(); m.update(&b); let sig=hex::decode(h.get("x-cal-signature-256").unwrap().as_bytes()).unwrap(); if m.verify_slice(&sig).is_err(){return axum::http::StatusCode::UNAUTHORIZED}
   let e=Envelope{message_id:MessageId::of_own("x",&b[..64]),kind:Kind::CalcomBookingCreated,schema_version:1,endpoint:None,received_at:chrono::DateTime::UNIX_EPOCH,attempt:1,deadline:None,reply_to:None,traceparent:None,caller_gone:false,body:b};
   match p.publish(&Destination::Event(topology::queue(Role::Booking,Lane::Bulk)),&e).await{Ok(())=>axum::http::StatusCode::NO_CONTENT,Err(_)=>axum::http::StatusCode::SERVICE_UNAVAILABLE} }}));
  let l=tokio::net::TcpListener::bind("127.0.0.1:46090").await.unwrap(); axum::serve(l,app).await.unwrap(); }
 else { for _ in 0..a[5].parse().unwrap(){ for (name,addr,path) in [("bare","127.0.0.1:46090","/x".to_string()),("ingress",a[2].as_str(),a[3].clone())]{ println!("{name} {:.0}/s",load(addr.into(),path,a[4].clone(),4).await);} } } }
