// A load generator after wrk2's method, independent of ours: open_loop HOST PORT RATE SECONDS
//
// Requests are due at even distances, and sent then, over an idle connection or a new one; the latency of each counts from
// the instant at which it was due. Prints every latency in nanoseconds, one a line: percentiles of them are exact.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define MOST 65536
static int64_t due_of[MOST];
static int idle[MOST], idles;
static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

static int64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * SECOND + at.tv_nsec;
}

static int fail(const char *what) { return perror(what), exit(1), 1; }

int main(int argc, char **argv) {
  if (argc != 5) return fputs("usage: open_loop HOST PORT RATE SECONDS\n", stderr), 2;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &address.sin_addr);
  double rate = atof(argv[3]);
  int64_t total = (int64_t)(rate * atof(argv[4])), sent = 0, ended = 0, start = now() + SECOND / 10;
  int64_t *latencies = malloc(total * sizeof *latencies);
  int loop = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), one = 1;
  struct epoll_event event = {.events = EPOLLIN, .data.fd = timer}, events[512];
  epoll_ctl(loop, EPOLL_CTL_ADD, timer, &event);
  while (ended < total) {
    while (sent < total && start + (int64_t)(sent * SECOND / rate) <= now()) {
      int connection;
      if (idles) {
        connection = idle[--idles];
      } else {
        connection = socket(AF_INET, SOCK_STREAM, 0);
        if (connection < 0 || connection >= MOST) fail("socket");
        if (connect(connection, (void *)&address, sizeof address)) fail("connect");
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        event.data.fd = connection;
        epoll_ctl(loop, EPOLL_CTL_ADD, connection, &event);
      }
      due_of[connection] = start + (int64_t)(sent++ * SECOND / rate);
      if (send(connection, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL) < 0) fail("send");
    }
    int64_t next = start + (int64_t)(sent * SECOND / rate);
    struct itimerspec wake = {{0, 0}, {next / SECOND, next % SECOND}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &wake, NULL);
    int found = epoll_wait(loop, events, 512, -1);
    for (int index = 0; index < found; index++) {
      char text[4096];
      int ready = events[index].data.fd;
      if (ready == timer) continue;
      if (recv(ready, text, sizeof text, 0) <= 0) fail("recv");
      if (strncmp(text, "HTTP/1.1 200", 12)) return fputs("an answer that is not 200\n", stderr), 1;
      latencies[ended++] = now() - due_of[ready];
      idle[idles++] = ready;
    }
  }
  for (int64_t index = 0; index < ended; index++) printf("%lld\n", (long long)latencies[index]);
  return 0;
}
