// RecordFile: a file that records are appended to, each found again by its key.
//
//   RecordFile file("teacher.cache", "millwright-teacher-cache-1");
//   file.append(key, payload, header);        // makes the file where there is none
//   if (const auto payload = file.find(key)) use(*payload);
//
// First a line, the kind and a header; then records, each with a checksum. A record that was cut
// off while it was written, the last one therefore, is as if it had never been. Several processes
// may append to one file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace mw {

class RecordFile {
 public:
  // Opens the file at `path`, or none where there is none yet. Throws io where it cannot be read
  // or there is no folder for it, and invalid_argument for a file of another kind or a damaged one.
  RecordFile(std::filesystem::path path, std::string kind);
  ~RecordFile() = default;
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // Nothing where there is no file yet.
  [[nodiscard]] const std::optional<std::string>& header() const { return header_; }
  [[nodiscard]] size_t size() const { return places_.size(); }  // records
  [[nodiscard]] bool has(uint64_t key) const { return places_.contains(key); }
  // Throws io, and invalid_argument where the record is not what was written.
  [[nodiscard]] std::optional<std::string> find(uint64_t key) const;
  // A key that is there stays what it is. `header`, without a line break, is that of the file where
  // there was none. Throws io; the file then holds what it held.
  void append(uint64_t key, std::string_view payload, std::string_view header);

 private:
  struct Place {
    uint64_t offset = 0, size = 0;  // of the payload
  };
  struct Descriptor {
    Descriptor() = default;
    ~Descriptor();
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int fd = -1;
  };
  [[nodiscard]] bool is_open() const { return file_.fd >= 0; }
  void open(int flags);
  void read_header();
  void scan();  // records from end_ on
  void read(uint64_t offset, char* to, size_t size) const;
  [[nodiscard]] bool is_whole(uint64_t key, const Place& place) const;
  [[nodiscard]] std::string payload_at(const Place& place) const;
  [[nodiscard]] uint64_t bytes() const;
  void write_at_end(std::string_view bytes);
  [[noreturn]] void fail_damaged(uint64_t offset) const;

  std::filesystem::path path_;
  std::string kind_;
  Descriptor file_;
  bool is_readable_only_ = false;
  std::optional<std::string> header_;
  uint64_t end_ = 0;  // of the last whole record
  std::unordered_map<uint64_t, Place> places_;
};

}  // namespace mw
