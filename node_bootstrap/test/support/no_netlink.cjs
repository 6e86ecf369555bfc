// Preloaded: what a system without netlink does to os.networkInterfaces().
require('node:os').networkInterfaces = () => {
  throw Object.assign(new Error('A system error occurred: uv_interface_addresses returned EPERM'), {
    code: 'ERR_SYSTEM_ERROR',
  });
};
