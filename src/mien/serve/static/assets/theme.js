"use strict";(()=>{function e(r){try{return localStorage.getItem(`mien.${r}`)}catch{return null}}var t=e("theme");(t==="light"||t==="dark")&&(document.documentElement.dataset.theme=t);})();
