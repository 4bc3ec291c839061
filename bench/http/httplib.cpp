// cpp-httplib for bench/http: the fixed answer.
#include <cstdio>
#include <thread>

#include <httplib.h>

int main() {
  httplib::Server server;
  server.set_keep_alive_max_count(1'000'000'000);
  server.set_tcp_nodelay(true);
  // A kept connection holds a thread: one for each of wrk's.
  server.new_task_queue = [] { return new httplib::ThreadPool(32); };
  server.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", "text/plain");
  });
  const int port = server.bind_to_any_port("127.0.0.1");
  std::printf("%d\n", port);
  std::fflush(stdout);
  std::thread serving([&server] { server.listen_after_bind(); });
  while (std::getchar() != EOF) {
  }
  server.stop();
  serving.join();
}
